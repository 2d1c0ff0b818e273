"""Asks Casbin, so that Varve's access control list can be compared with it.

`cases` writes random policies with questions and Casbin's answers; tests/storage/casbin.rs reads
them. `differences` checks what the hand-written file of known differences says of Casbin; the Rust
test checks what it says of Varve. Lines of both files, fields separated by tabs:

    = title                                     a policy begins
    |text                                       one line of it, as it is
    both     subject  action  object  answer    allow or deny, from Casbin and from Varve
    casbin   subject  action  object  answer    allow, deny or error, from Casbin alone
    varve    subject  action  object  answer    allow or deny, from Varve alone
    refused  text                               Varve refuses the policy and says this
"""

import argparse
import pathlib
import random
import sys
import tempfile

import casbin

MODEL = pathlib.Path(__file__).with_name("model.conf")
ACTIONS = ["produce", "consume", "admin"]
ROLE_DEPTH_MAX = 8

# Near misses on purpose: letter case, prefixes of one another, blanks and punctuation inside.
SUBJECTS = [
    "alice",
    "Alice",
    "alice2",
    "bob",
    "carol smith",
    "svc(1)",
    "#5",
    "a'b",
    "x=y;z",
    "spiffe://host/ns/prod/sa/writer",
    "spiffe://host/ns/prod/sa/writer2",
    "s" * 255,
]
ROLES = ["readers", "writers", "ops", "team-a", "team-b", "auditors", "everyone", "r1", "r2", "r3"]
LOGS = ["default", "orders", "orders.eu", "orders.eu.audit", "orders2", "o", "_internal", "a-b_c"]
GLOBS = ["*", "o*", "order*", "orders*", "orders.*", "orders.eu*", "orders.eu.*", "_*", "a-*"]
STRANGERS = ["", "*", "mallory", "ALICE", "alice ", "reader", "role"]
ELSEWHERE = ["", "*", "orders.", "orders.*", "Orders", "order", "ordersx", "o.p", "unknown"]


def enforcer(lines):
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".csv") as policy:
        policy.write("\n".join(lines) + "\n")
        policy.flush()
        return casbin.Enforcer(str(MODEL), policy.name)


def answer(lines, questions):
    """Casbin's answers to `questions`, triples of subject, action and object."""
    try:
        judge = enforcer(lines)
    except (RuntimeError, IndexError):
        return ["error"] * len(questions)
    answers = []
    for subject, action, obj in questions:
        try:
            answers.append("allow" if judge.enforce(subject, obj, action) else "deny")
        except RuntimeError:
            answers.append("error")
    return answers


def random_links(rng, subjects, roles):
    """Memberships without a circle, at most ROLE_DEPTH_MAX in a row."""
    order = rng.sample(roles, len(roles))
    if rng.random() < 0.3:
        chain = [rng.choice(subjects)] + order
        links = list(zip(chain, chain[1 : rng.randint(2, ROLE_DEPTH_MAX + 1)]))
    else:
        links = []
    for _ in range(rng.randint(0, 8)):
        if rng.random() < 0.6:
            links.append((rng.choice(subjects), rng.choice(roles)))
        else:
            low, high = sorted(rng.sample(range(len(order)), 2))
            links.append((order[low], order[high]))
    kept = []
    for link in links:
        if depth(kept + [link]) <= ROLE_DEPTH_MAX:
            kept.append(link)
    return kept


def depth(links):
    """The most memberships in a row."""
    longest = {}

    def above(name):
        if name not in longest:
            longest[name] = max((1 + above(r) for m, r in links if m == name), default=0)
        return longest[name]

    return max((above(member) for member, _ in links), default=0)


def random_rule(rng, names):
    subject = rng.choice(names)
    obj = rng.choice(rng.choice([LOGS, GLOBS]))
    action = rng.choice(ACTIONS + ["*"] * 4)
    # Casbin wants the effect in each line; that ours may lack is among the differences.
    return ["p", subject, obj, action, rng.choice(["allow"] * 5 + ["deny"])]


def random_text(rng, rows):
    """The rows as lines, with blanks, comments and empty lines that mean nothing."""
    lines = []
    for row in rows:
        pads = [rng.choice(["", "", "", " ", "\t", "  "]) for _ in row]
        comma = rng.choice([",", ", ", " ,\t"])
        lines.append(comma.join(pad + field for pad, field in zip(pads, row)))
        if rng.random() < 0.1:
            lines.append(rng.choice(["", "# a comment, with a comma", "\t#p, bob, *, *, allow"]))
    return lines


def random_policy(rng):
    """The lines, the names that stand in them, and the rules."""
    subjects = rng.sample(SUBJECTS, rng.randint(1, 4))
    roles = rng.sample(ROLES, rng.choice([2, 4, len(ROLES)]))
    links = random_links(rng, subjects, roles)
    names = subjects + sorted({name for link in links for name in link} - set(subjects))
    rules = [random_rule(rng, names) for _ in range(rng.randint(2, 12))]
    rows = rules + [["g", member, role] for member, role in links]
    rows += rng.sample(rows, min(len(rows), rng.choice([0, 0, 0, 1, 2])))
    rng.shuffle(rows)
    return random_text(rng, rows), names, rules


def random_questions(rng, names, rules, count):
    """Half of the questions are about a rule's own objects, so that many are not just denied."""
    questions = []
    for _ in range(count):
        subject = rng.choice(names if rng.random() < 0.95 else STRANGERS + SUBJECTS)
        if rng.random() < 0.5:
            near = rng.choice(rules)[2].rstrip("*")
            obj = near + rng.choice(["", "", "x", ".y"])
        else:
            obj = rng.choice(rng.choice([LOGS, ELSEWHERE]))
        questions.append((subject, rng.choice(ACTIONS), obj))
    return sorted(set(questions))


def cases(policies, questions, seed):
    rng = random.Random(seed)
    tally = {"allow": 0, "deny": 0}
    print(f"# {policies} policies from seed {seed}, answered by Casbin {casbin_version()}.")
    for number in range(1, policies + 1):
        lines, names, rules = random_policy(rng)
        asked = random_questions(rng, names, rules, questions)
        print(f"= policy {number}")
        for line in lines:
            print(f"|{line}")
        for question, said in zip(asked, answer(lines, asked)):
            tally[said] += 1
            print("\t".join(["both", *question, said]))
    print(f"seed {seed}: Casbin answered {tally}", file=sys.stderr)


def differences(path):
    """Checks the file's claims about Casbin; the exit code says whether all are right."""
    wrong = checked = 0
    title, lines = "", []
    for text in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        if text.startswith("= "):
            title, lines = text[2:], []
        elif text.startswith("|"):
            lines.append(text[1:])
        elif text.startswith(("casbin\t", "both\t")):
            _, subject, action, obj, claimed = text.split("\t")
            checked += 1
            [said] = answer(lines, [(subject, action, obj)])
            if said != claimed:
                wrong += 1
                print(f"{path}: {title}: Casbin says {said}, not {claimed}: {text!r}")
    print(f"{path}: {checked} claims about Casbin {casbin_version()} checked, {wrong} wrong")
    return 1 if wrong or not checked else 0


def casbin_version():
    from importlib.metadata import version

    return version("casbin")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("cases", help="write random cases to standard output")
    make.add_argument("--policies", type=int, required=True)
    make.add_argument("--questions", type=int, default=20, help="for each policy")
    make.add_argument("--seed", type=int, required=True)
    check = commands.add_parser("differences", help="check a file's claims about Casbin")
    check.add_argument("path")
    args = parser.parse_args()
    if args.command == "cases":
        cases(args.policies, args.questions, args.seed)
        return 0
    return differences(args.path)


if __name__ == "__main__":
    sys.exit(main())
