"""Who may do what, worked out from a policy's text by the words of docs/ACL.md alone.

This is a second reading of that page. It knows nothing of the server and is slow and plain.
"""


class Rules:
    """A policy."""

    def __init__(self, text):
        self.rules, self.roles = [], {}
        for line in text.splitlines():
            fields = [field.strip() for field in line.split(",")]
            if fields[0] == "p":
                subject, thing, action, *effect = fields[1:]
                self.rules.append((subject, thing, action, effect == ["deny"]))
            elif fields[0] == "g":
                self.roles.setdefault(fields[1], []).append(fields[2])

    def permits(self, subject, action, log):
        """Whether some rule allows it and none denies it; nobody is `None`."""
        if subject is None:
            return False
        names = self.names(subject)
        verdicts = [denies for name, thing, its_action, denies in self.rules
                    if name in names and covers(thing, log) and its_action in (action, "*")]
        return bool(verdicts) and not any(verdicts)

    def names(self, subject):
        """The subject and every role that it has."""
        found, todo = set(), [subject]
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += self.roles.get(name, [])
        return found


def covers(thing, log):
    return log.startswith(thing[:-1]) if thing.endswith("*") else log == thing
