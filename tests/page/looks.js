// What the test asks of the page, put into it beside its own script.
'use strict';
window.looks = (() => {
  const shown = element => {
    const box = element.getBoundingClientRect();
    return box.width > 0 && box.height > 0 && getComputedStyle(element).visibility === 'visible';
  };
  const ancestors = element => {
    const found = [];
    for (let at = element; at; at = at.parentElement) found.unshift(at);
    return found;
  };
  // A pixel that is painted over: the browser's own mixing of colours, whatever their notation.
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 1;
  const brush = canvas.getContext('2d', {willReadFrequently: true});
  const painted = colours => {
    for (const colour of ['white', ...colours]) {
      brush.fillStyle = colour;
      brush.fillRect(0, 0, 1, 1);
    }
    return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  // The contrast of WCAG 2.
  const luminance = rgb => {
    const [r, g, b] = rgb.map(part => {
      const s = part / 255;
      return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  return {
    // Every text that is shown, with its contrast.
    contrasts() {
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      const found = [];
      while (walker.nextNode()) {
        const text = walker.currentNode.textContent.trim();
        const element = walker.currentNode.parentElement;
        if (!text || ['SCRIPT', 'STYLE', 'NOSCRIPT', 'title'].includes(element.tagName)
          || !shown(element)) continue;
        const under = ancestors(element).map(one => getComputedStyle(one).backgroundColor);
        const ink = painted([...under, getComputedStyle(element).color]);
        found.push({text: text.slice(0, 40), contrast: contrast(painted(under), ink)});
      }
      return found;
    },
    // The colours that states have, also those that are not shown now, on a card and on the row
    // that is chosen.
    states() {
      const places = ['section', 'tr[aria-selected=true] td'].map(at => document.querySelector(at));
      return places.filter(place => place).flatMap(place => {
        const probe = document.createElement('p');
        place.append(probe);
        const under = painted(ancestors(probe).map(one => getComputedStyle(one).backgroundColor));
        const found = ['soft', 'good', 'warn', 'bad'].map(kind => {
          probe.className = kind;
          const ink = painted([getComputedStyle(probe).color]);
          return {text: `${kind} in ${place.tagName}`, contrast: contrast(under, ink)};
        });
        probe.remove();
        return found;
      });
    },
    // What a keyboard has to reach.
    interactive() {
      const all = document.querySelectorAll('a[href], button, input, select, textarea, summary, '
        + '[tabindex]:not([tabindex="-1"])');
      return [...all].filter(shown);
    },
    // Where the keyboard is, and whether that is to be seen.
    focused() {
      const element = document.activeElement, style = getComputedStyle(element);
      const at = this.interactive().indexOf(element);
      const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
      return {at, ring, name: `${element.tagName} ${element.textContent.slice(0, 20)}`};
    },
    column(table, title) {
      const heads = [...document.querySelectorAll(`#${table} th`)];
      return heads.findIndex(head => head.textContent.replace(/ [▲▼]$/, '') === title);
    },
    cells(table, title) {
      const at = this.column(table, title);
      const rows = [...document.querySelectorAll(`#${table} tbody tr`)];
      return rows.map(row => row.cells[at].textContent);
    },
    sorted(table, title) {
      return document.querySelectorAll(`#${table} th`)[this.column(table, title)].ariaSort;
    },
    head(table, title) {
      return document.querySelectorAll(`#${table} th button`)[this.column(table, title)];
    },
    figure(title) {
      const boxes = [...document.querySelectorAll('#plots section')];
      const box = boxes.find(one => one.querySelector('h2').textContent === title);
      return box.querySelector('.figure').textContent;
    },
    // How much too wide the page is.
    overflow() {
      return document.documentElement.scrollWidth - innerWidth;
    },
    // Tables that have to be scrolled sideways, with how far.
    wideTables() {
      const boxes = [...document.querySelectorAll('.scroll')];
      const over = boxes.map(box => [box.querySelector('table').id,
        box.scrollWidth - box.clientWidth]);
      return over.filter(([, pixels]) => pixels > 0);
    },
    bands() {
      const bands = [...document.querySelectorAll('#strata rect')];
      return bands.map(band => band.getBoundingClientRect().width);
    },
  };
})();
