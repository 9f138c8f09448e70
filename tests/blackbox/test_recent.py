"""\\Recent (RFC 3501 2.3.2) between sessions: whatever processes they are in, each message is recent in one of them."""
import imaplib
import re
import threading
import time

from conftest import PASSWORD
from helpers import imap, send, wait_for

SESSIONS = 8


def text(i):
    return f"From: ann@example.org\r\nSubject: number {i}\r\n\r\nbody {i}\r\n"


def append(m, box, n=1):
    for i in range(n):
        assert m.append(box, None, None, text(i).encode())[0] == "OK"


def recent(m):
    """UIDs, as SEARCH says and as FETCH shows them."""
    found = {int(u) for u in m.uid("SEARCH", None, "RECENT")[1][0].split()}
    rows = [x for x in m.uid("FETCH", "1:*", "(FLAGS)")[1] if x]
    assert found == {int(re.search(rb"UID (\d+)", row)[1]) for row in rows if b"\\Recent" in row}
    return found


def select(m, box="INBOX", readonly=False):
    """The number in untagged RECENT, which imaplib keeps the last of."""
    assert m.select(box, readonly)[0] == "OK"
    return int(m.response("RECENT")[1][-1])


def status(m, box="INBOX"):
    return int(re.search(rb"RECENT (\d+)", m.status(box, "(RECENT)")[1][0])[1])


def at_once(calls):
    """Runs them all at the same time; what they answered."""
    answers, barrier = [None] * len(calls), threading.Barrier(len(calls))

    def one(i):
        barrier.wait()
        answers[i] = calls[i]()

    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(calls))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return answers


def leave(*sessions):
    for m in sessions:
        m.logout()


def test_the_first_session_has_it_and_the_second_has_not(server, user):
    first, second = imap(server, user), imap(server, user)
    append(first, "INBOX", 3)
    assert status(second) == 3 and status(first) == 3
    assert select(second, readonly=True) == 3 and recent(second) == {1, 2, 3}
    assert select(first) == 3 and recent(first) == {1, 2, 3}
    assert status(first) == 0 and status(second) == 0
    assert select(second) == 0 and recent(second) == set()
    assert select(second, readonly=True) == 0
    # To the end of the session, whatever becomes of its other flags.
    first.store("2", "+FLAGS", "(\\Seen)")
    assert recent(first) == {1, 2, 3} and first.search(None, "NEW")[1] == [b"1 3"] and first.search(None, "OLD")[1] == [b""]
    assert second.search(None, "OLD")[1] == [b"1 2 3"]
    assert select(first) == 0
    leave(first, second)


def test_many_sessions_select_at_the_same_time(server, user):
    sessions = [imap(server, user) for _ in range(SESSIONS)]
    for turn in range(6):
        append(sessions[0], "Drafts", 4)
        shown = at_once([lambda m=m: (select(m, "Drafts"), recent(m)) for m in sessions])
        uids = [u for _, have in shown for u in have]
        assert sorted(uids) == list(range(4 * turn + 1, 4 * turn + 5)), shown
        assert sum(n for n, _ in shown) == 4
        for m in sessions:
            m.unselect()
    leave(*sessions)


def test_what_arrives_is_recent_where_it_is_told_of_first(server, user):
    sessions = [imap(server, user) for _ in range(SESSIONS)]
    for m in sessions:
        assert select(m) == 0
    told = [0] * SESSIONS
    for i in range(6):
        send(server, user, text(i))
        send(server, user, text(i))

        def look(m):
            m.noop()
            return int((m.response("RECENT")[1][-1:] or [None])[0] or 0)

        told = [max(*pair) for pair in zip(told, at_once([lambda m=m: look(m) for m in sessions]))]
    have = [recent(m) for m in sessions]
    assert sorted(u for some in have for u in some) == list(range(1, 13)), have
    assert told == [len(some) for some in have]
    assert status(sessions[0]) == 0
    leave(*sessions)


def test_idle_tells_exists_and_recent(server, user):
    with imaplib.IMAP4("localhost", server.imap) as m:
        m.login(user, PASSWORD)
        assert select(m) == 0
        m.send(b"i IDLE\r\n")
        assert m.readline() == b"+ idling\r\n"
        send(server, user, text(1))
        assert [m.readline(), m.readline()] == [b"* 1 EXISTS\r\n", b"* 1 RECENT\r\n"]
        m.send(b"DONE\r\n")
        assert m.readline() == b"i OK idled\r\n"


def test_copies_and_moves_are_recent_in_their_target(server, user):
    m = imap(server, user)
    append(m, "INBOX", 3)
    assert select(m) == 3
    assert m.copy("1:2", "Archive")[0] == "OK" and m.uid("MOVE", "3", "Archive")[0] == "OK"
    assert status(m, "Archive") == 3 and recent(m) == {1, 2}
    assert m.copy("1", "INBOX")[0] == "OK" and recent(m) == {1, 2, 4}
    assert select(m, "Archive") == 3
    assert m.rename("Archive", "Elsewhere")[0] == "OK"
    assert status(m, "Elsewhere") == 0 and select(m, "Elsewhere") == 0
    append(m, "Elsewhere")
    assert m.noop()[0] == "OK" and recent(m) == {4}
    m.unselect()
    assert m.delete("Elsewhere")[0] == "OK" and m.create("Elsewhere")[0] == "OK"
    append(m, "Elsewhere")
    assert status(m, "Elsewhere") == 1
    leave(m)


def test_flags_given_by_the_client_never_have_it(server, user):
    m = imap(server, user)
    append(m, "INBOX")
    select(m)
    for command in (lambda: m.store("1", "+FLAGS", "(\\Recent)"), lambda: m.append("INBOX", "(\\Recent)", None, b"x: y\r\n\r\n")):
        try:
            assert command()[0] == "NO"
        except imaplib.IMAP4.error:
            pass
    assert recent(m) == {1}
    leave(m)


def test_a_mailbox_without_new_mail_costs_no_commit_and_one_with_it_one_row_later(fresh):
    server = fresh("--accounts", 1)

    def commits():
        return server.status()["store"]["commits"]

    m = imap(server, "alice")
    m.create("New")
    append(m, "New", 2)
    before = commits()
    assert select(m, "New") == 2
    wait_for(lambda: commits() == before + 1, 20)
    for _ in range(20):
        assert select(m, "New") == 0 and status(m, "New") == 0 and select(m, "New", readonly=True) == 0
    time.sleep(6)  # longer than the store keeps what is to be put
    assert commits() == before + 1
    # It is on disk: a store that is killed has lost nothing of it.
    append(m, "New")
    assert select(m, "New") == 1
    leave(m)
    assert server.stop() == 0
    assert server.cli("verify").returncode == 0
    server.start()
    m = imap(server, "alice")
    assert status(m, "New") == 0 and select(m, "New") == 0
    append(m, "New")
    m.unselect()
    leave(m)
