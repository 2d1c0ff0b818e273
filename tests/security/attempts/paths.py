"""Paths that look like a method's and are none, by the subject that may do everything."""

import calls
import wire
from ground import Place, context, tls
from proofs import check

METHOD = "/log.v1.Log/Produce"
RECORD = calls.request(METHOD)
# A handler would answer the record with 0, and the checker a stranger's path with 7.
UNIMPLEMENTED = "12"


def run(ground):
    place = Place(ground.folder / "place", "p, root, *, *\n")
    place.serve()
    made = context(place, place.client("root"))
    peer = wire.Peer(tls(place, made))
    stream, answers = 1, {}
    for path in variants():
        encoded = wire.block(path)
        peer.send(wire.call(stream, encoded, RECORD))
        status = peer.wait_status(stream, 10)
        if status is None:
            # The whole connection was refused for it; the next path takes another one.
            check(peer.wait_closed(5), f"{path!r} is neither answered nor refused")
            peer, status, stream = wire.Peer(tls(place, made)), ("closed", ""), -1
        check(status[0] in (UNIMPLEMENTED, "reset", "http", "closed"),
              f"{path!r} is answered with {status}")
        answers[status[0]] = answers.get(status[0], 0) + 1
        stream += 2
    lines = "\n".join(place.lines())
    check("event=denied" not in lines and "event=call_refused" not in lines,
          "a path that is no method reached the checker")
    # The same bytes with the method's own path are taken, as the first record.
    peer.send(wire.call(stream, wire.block(METHOD), RECORD))
    check(peer.wait_status(stream) == ("0", ""), f"the method is refused: {peer.statuses}")
    peer.close()
    answer = place.call("root", METHOD, RECORD)
    check(answer == calls.field(1, 1), f"a path that is no method appended a record: {answer}")
    place.stop()
    told = ", ".join(f"{count} {name}" for name, count in sorted(answers.items()))
    return [f"cases: {sum(answers.values())} paths that are no method's, none authorized"
            f" ({told.replace(UNIMPLEMENTED, 'UNIMPLEMENTED')})"]


def variants():
    """No two the same."""
    service, method = "log.v1.Log", "Produce"
    written = [
        f"{service}/{method}", f"//{service}/{method}", f"/{service}//{method}",
        f"/{service}/{method}/", f"/{service}/{method}//", f"/{service}/{method}/.",
        f"/./{service}/{method}", f"/../{service}/{method}", f"/x/../{service}/{method}",
        f"/{service}/{method}?x", f"/{service}/{method}?", f"/{service}/{method}#x",
        f"/{service}/{method};x", f"/{service}/{method}&x=1", f"/{service}/{method}%00",
        f"/{service}%2f{method}", f"/{service}%2F{method}", f"%2f{service}%2f{method}",
        f"/{service}/%50roduce", f"/%6cog.v1.Log/{method}", f"/{service}/{method}%20",
        f"/{service}/{method} ", f" /{service}/{method}", f"/{service} /{method}",
        f"/{service}/{method}\t", f"\\{service}\\{method}", f"/{service}\\{method}",
        f"/{service}/{method.lower()}", f"/{service}/{method.upper()}",
        f"/{service.lower()}/{method}", f"/{service.upper()}/{method}",
        f"/{service}/{method[:-1]}", f"/{service}/{method}s", f"/{service}/{method}Stream2",
        f"/{service}", f"/{service}/", f"/{method}", "/", "//", "", "*", ".", "/*", "/*/*",
        f"/{service}/*", f"/*/{method}", f"https://localhost/{service}/{method}",
        f"/log.v1/Log/{method}", f"/Log/{method}", f"/log.v2.Log/{method}", f"/.{service}/{method}",
        f"/{service}./{method}", f"/{service}/.{method}", f"/log..v1.Log/{method}",
        "/varve.v1.Log/CreateLog", "/varve.v1.Admin/Produce", "/log.v1.Log/CreateLog",
        "/varve.v1.Admin/", "/varve.v1.Admin/createLog", "/grpc.health.v1.Health/check",
        f"/{service}/{method}\u0301".encode().decode("latin-1"), f"/{service}/Pr\u00f6duce",
        f"/{service}/{'P' * 4000}", f"/{'a/' * 2000}",
    ]
    check(len(set(written)) == len(written), "a path stands here twice")
    return written
