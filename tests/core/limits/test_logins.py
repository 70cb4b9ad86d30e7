"""After some failures logins are slowed, then locked: for one email from one address, and nobody else."""

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.db.models import F
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from core.limits import logins
from core.limits.models import LoginFailures
from core.limits.tasks import forget_counts
from core.models import AuditEvent
from tests.factories.core import UserFactory
from tests.kit.cast import Actor
from tests.kit.races import errors, race, values
from tests.kit.sql import refused, run

pytestmark = pytest.mark.django_db

EMAIL, PASSWORD = "ann@example.com", "right horse battery"
HERE, THERE = "192.0.2.1", "192.0.2.2"
LIMIT = 5


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    """Hash quickly: here it matters how often that is done, not how long it takes."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def ann(settings: Any) -> Any:
    """A member of staff."""
    assert (settings.LOGIN_FAILURE_LIMIT, settings.LOGIN_LOCK_SECONDS) == (LIMIT, 900), "as it comes"
    return UserFactory(email=EMAIL, password=PASSWORD, is_staff=True)


def log_in(password: str = "wrong horse battery", email: str = EMAIL, address: str = HERE) -> Any:
    return Client().post("/admin/login/", {"username": email, "password": password}, REMOTE_ADDR=address)


def rows(**chosen: Any) -> Any:
    return LoginFailures.objects.filter(**chosen)


def pass_time(**by: float) -> None:
    """Let all that was counted be so much older."""
    ago = timedelta(**by)
    rows().update(last_failed_at=F("last_failed_at") - ago, locked_until=F("locked_until") - ago)


def fail(times: int, **who: str) -> None:
    """Fail so often, each time as soon as the wait is over."""
    for _ in range(times):
        answer = log_in(**who)
        assert answer.status_code == 200, "It was looked at."
        pass_time(seconds=61)


def events(kind: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(event_type=f"login.{kind}").order_by("timestamp", "id"))


# --- Slowing ---------------------------------------------------------------------------------------


def test_each_further_failure_makes_the_next_attempt_wait(ann: Any) -> None:
    waits = []
    for _ in range(LIMIT - 1):
        assert log_in().status_code == 200
        row = rows(email=EMAIL.upper(), address=HERE).get()
        waits.append(round((row.locked_until - row.last_failed_at).total_seconds()) if row.locked_until else 0)
        pass_time(seconds=10)
    assert waits == [0, 1, 2, 4]


def test_an_attempt_too_soon_is_refused_and_not_counted(ann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Time goes on only when it is looked at: a busy machine would wait the second out.
    began, looks = timezone.now(), count()
    clock = SimpleNamespace(now=lambda: began + timedelta(milliseconds=next(looks)))
    monkeypatch.setattr(logins, "timezone", clock)
    log_in()
    log_in()
    for _ in range(10):
        answer = log_in(PASSWORD)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        assert "Too many logins failed. Try again in a second." in answer.content.decode()
    pass_time(seconds=2)
    assert log_in(PASSWORD).status_code == 302


def test_success_forgets_the_failures(ann: Any) -> None:
    for _ in range(3):
        fail(LIMIT - 1)
        assert log_in(PASSWORD).status_code == 302
    assert not events("lock")


# --- Locking ---------------------------------------------------------------------------------------


def test_after_the_limit_the_right_password_is_refused_too(ann: Any) -> None:
    fail(LIMIT - 1)
    assert log_in().status_code == 200
    answer = log_in(PASSWORD)
    assert answer.status_code == 429
    assert 600 < int(answer.headers["Retry-After"]) <= 900
    assert "Try again in 15 minutes." in answer.content.decode()
    assert "sessionid" not in answer.cookies
    ann.refresh_from_db()
    assert ann.last_login is None


def test_the_lock_ends_by_itself(ann: Any) -> None:
    fail(LIMIT - 1)
    log_in()
    pass_time(seconds=600)
    assert log_in(PASSWORD).status_code == 429
    pass_time(seconds=301)
    assert log_in().status_code == 200, "And one failure doesn't lock it again."
    assert log_in(PASSWORD).status_code == 302


def test_attempts_while_locked_don_t_prolong_it(ann: Any) -> None:
    fail(LIMIT)
    before = rows(email=EMAIL.upper(), address=HERE).get().locked_until
    for _ in range(5):
        assert log_in().status_code == 429
    assert rows(email=EMAIL.upper(), address=HERE).get().locked_until == before


def test_another_address_and_another_email_are_not_locked(ann: Any) -> None:
    UserFactory(email="bob@example.com", password=PASSWORD, is_staff=True)
    fail(LIMIT)
    assert log_in(PASSWORD).status_code == 429
    assert log_in(PASSWORD, address=THERE).status_code == 302
    assert log_in(PASSWORD, email="bob@example.com").status_code == 302


def test_an_address_that_tries_many_emails_is_locked(ann: Any, settings: Any) -> None:
    settings.LOGIN_FAILURE_LIMIT = 1
    for number in range(logins.ADDRESS_FACTOR):
        fail(1, email=f"user{number}@example.com")
    assert log_in(PASSWORD).status_code == 429
    assert log_in(PASSWORD, address=THERE).status_code == 302


def test_success_in_between_doesn_t_clear_an_address(ann: Any, settings: Any) -> None:
    settings.LOGIN_FAILURE_LIMIT = 1
    for number in range(logins.ADDRESS_FACTOR):
        if number % 10 == 0:
            assert log_in(PASSWORD).status_code == 302
        fail(1, email=f"user{number}@example.com")
    assert log_in(PASSWORD).status_code == 429


def test_an_email_tried_from_many_addresses_is_locked(ann: Any, settings: Any) -> None:
    settings.LOGIN_FAILURE_LIMIT = 1
    for number in range(logins.EMAIL_FACTOR):
        fail(1, address=f"198.51.100.{number}")
    assert log_in(PASSWORD).status_code == 429
    assert log_in(PASSWORD, email="bob@example.com").status_code == 200


@pytest.mark.parametrize("other", ["ANN@example.com", " Ann@Example.com", "aNN@EXAMPLE.COM"])
def test_no_spelling_gives_more_attempts(ann: Any, other: str) -> None:
    fail(LIMIT)
    assert log_in(PASSWORD, email=other).status_code == 429


def test_an_ipv6_client_has_one_network(ann: Any) -> None:
    fail(LIMIT, address="2001:db8:1:2::1")
    assert log_in(PASSWORD, address="2001:db8:1:2:ffff::9").status_code == 429
    assert log_in(PASSWORD, address="2001:db8:1:3::1").status_code == 302
    fail(LIMIT, address="::ffff:192.0.2.9")
    assert log_in(PASSWORD, address="192.0.2.9").status_code == 429


def test_nothing_tells_whether_there_is_such_a_user(ann: Any) -> None:
    def story(email: str) -> list[Any]:
        answers = []
        for _ in range(LIMIT + 2):
            answer = log_in(email=email)
            text = answer.content.decode().replace(email, "…")
            note = text.partition('class="errornote"')[2].partition("</p>")[0]
            assert note
            answers.append((answer.status_code, "Retry-After" in answer.headers, note))
            if answer.status_code == 200:
                pass_time(seconds=61 if len(answers) < LIMIT else 0)
        return answers

    assert story(EMAIL) == story("nobody@example.com")


def test_keys_and_sessions_go_on(owner: Actor) -> None:
    fail(LIMIT, email=owner.user.email)
    assert log_in(email=owner.user.email).status_code == 429
    assert owner.by_key.get("/api/v1/tasks/", REMOTE_ADDR=HERE).status_code == 200
    assert owner.client.get("/api/v1/tasks/", REMOTE_ADDR=HERE).status_code == 200


def test_zero_is_no_limit(ann: Any, settings: Any) -> None:
    settings.LOGIN_FAILURE_LIMIT = 0
    for _ in range(2 * LIMIT):
        assert log_in().status_code == 200
    assert not rows().exists()


def test_without_a_request_the_email_alone_counts(ann: Any) -> None:
    assert authenticate(None, username=EMAIL, password="wrong") is None
    assert list(rows().values_list("email", "address")) == [(EMAIL.upper(), "")]


# --- At once ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_many_attempts_at_once_are_no_more_than_one_by_one(ann: Any) -> None:
    def attempt() -> int:
        return log_in().status_code

    statuses = [status for _ in range(3) for status in values(race(*[attempt] * 8))]
    assert len(statuses) == 24
    looked_at = statuses.count(200)
    assert 1 <= looked_at <= LIMIT
    assert looked_at == len([event for event in events("fail") if not event.details.get("locked")])


@pytest.mark.django_db(transaction=True)
def test_attempts_that_cross_don_t_deadlock(ann: Any) -> None:
    def contender(number: int) -> Callable[[], None]:
        def run_it() -> None:
            for turn in range(10):
                logins.begin(f"user{(number + turn) % 3}@example.com", f"192.0.2.{number * turn % 3}")

        return run_it

    found = errors(race(*[contender(number) for number in range(6)]))
    assert all(isinstance(error, logins.LoginLockedError) for error in found), found


# --- What is recorded, and undone ------------------------------------------------------------------


def test_a_lock_is_an_event_and_so_is_each_failure(ann: Any) -> None:
    fail(LIMIT)
    assert log_in(PASSWORD).status_code == 429
    assert len(events("fail")) == LIMIT + 1
    assert [event.details.get("locked", False) for event in events("fail")] == [False] * LIMIT + [True]
    [lock] = events("lock")
    assert not lock.success
    assert (lock.user_email, lock.ip_address) == (EMAIL.upper(), HERE)
    known = {"email": EMAIL.upper(), "address": HERE, "failures": LIMIT, "source": "admin"}
    assert lock.details | known == lock.details
    assert not events("succeed")
    assert PASSWORD not in str(list(AuditEvent.objects.values()))


def test_the_command_unlocks(ann: Any) -> None:
    fail(LIMIT)
    fail(LIMIT, address=THERE)
    told = StringIO()
    call_command("unlock_login", "Ann@example.com", "--address", THERE, stdout=told)
    assert told.getvalue() == "1 lock undone.\n"
    assert log_in(PASSWORD, address=THERE).status_code == 302
    assert log_in(PASSWORD).status_code == 429
    call_command("unlock_login", EMAIL, stdout=told)
    assert log_in(PASSWORD).status_code == 302
    assert [event.details["address"] for event in events("unlock")] == [THERE, HERE]
    assert {event.details["source"] for event in events("unlock")} == {"command"}


@pytest.mark.parametrize("arguments", [[], ["--address", "nowhere"]])
def test_the_command_wants_to_know_what(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("unlock_login", *arguments)


def test_staff_unlock_in_the_admin(ann: Any) -> None:
    fail(LIMIT)
    boss: Any = UserFactory(is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(boss)
    row = rows(email=EMAIL.upper(), address=HERE).get()
    assert EMAIL.upper() in client.get(reverse("admin:limits_loginfailures_changelist")).content.decode()
    address = reverse("admin:limits_loginfailures_action", args=(row.pk, "unlock"))
    assert client.post(address).status_code == 302
    assert log_in(PASSWORD).status_code == 302
    [event] = events("unlock")
    assert event.user_id == boss.pk


def test_other_staff_don_t_see_whose_logins_fail(ann: Any) -> None:
    fail(LIMIT)
    client = Client()
    clerk: Any = UserFactory(is_staff=True)
    client.force_login(clerk)
    assert client.get(reverse("admin:limits_loginfailures_changelist")).status_code == 403


def test_old_failures_are_forgotten(ann: Any) -> None:
    log_in()
    log_in(address=THERE)
    pass_time(seconds=901)
    log_in()
    forget_counts()
    assert not rows(address=THERE).exists()
    assert rows(address=HERE).count() == 2


def test_the_database_keeps_one_count_of_each() -> None:
    insert = "INSERT INTO limits_loginfailures (email, address, failures) VALUES (%s, %s, 1)"
    run(insert, "A", HERE)
    assert refused(insert, "A", HERE) == "limits_loginfailures_pair"
    assert refused(insert, "", "") == "limits_loginfailures_of_something"


def test_the_proxy_s_word_counts_only_where_it_is_trusted(settings: Any) -> None:
    request = RequestFactory().post("/admin/login/", REMOTE_ADDR=HERE, HTTP_X_FORWARDED_FOR=THERE)
    authenticate(request, username=EMAIL, password="wrong")
    settings.TRUSTED_PROXY_COUNT = 1
    authenticate(request, username=EMAIL, password="wrong")
    assert set(rows(email=EMAIL.upper()).values_list("address", flat=True)) == {HERE, THERE, ""}
    assert timezone.now() - rows(address=THERE).first().last_failed_at < timedelta(minutes=1)
