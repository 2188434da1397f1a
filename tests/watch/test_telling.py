"""Who is told of visits: rules, webhooks with a receiver that fails and stalls, an MQTT broker that comes and goes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.header import decode_header, make_header
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from background import free_port, served, until
from commands import saying
from mien.pipeline import Analyzer
from mien.watch.cameras import Camera
from mien.watch.feed import CameraState
from mien.watch.mqtt import MqttTarget, slug
from mien.watch.rules import Rules
from mien.watch.sending import Sender
from mien.watch.settings import Keeping, Mqtt, Rule, WatchFile, Webhook
from mien.watch.store import Message, VisitStore
from mien.watch.telling import Watch
from mien.watch.visits import Event, Kind
from mien.watch.webhooks import WebhookTarget, signed

NOW = 1_800_000_000.0
DOOR, YARD = (Camera(name=name, source=0) for name in ("door", "yard"))


def event(
    kind: Kind,
    visit: str = "v1",
    *,
    who: str = "unknown",
    person: str | None = None,
    camera: str = "door",
    count: int = 10,
) -> Event:
    told: dict[str, Any] = {"who": who, "person": person, "count": count}
    ends = NOW + 5 if kind == "end" else None
    return Event(kind, visit, camera, NOW, ends, NOW + 5, told)


# -- rules


def rules(clock: Callable[[], float] = lambda: NOW, **rule: Any) -> Rules:
    hooks = [Webhook(name=name, url="http://house/") for name in ("house", "phone")]
    said = WatchFile(cameras=(DOOR, YARD), webhooks=tuple(hooks), rules=(Rule(**rule),))
    return Rules(said, clock=clock)


BEGIN = event("begin", who="unsure")
ADA = event("change", who="known", person="Ada")
STRANGER = event("change")


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({}, [True, True, True]),
        ({"who": "unknown"}, [False, False, True]),
        ({"who": "known"}, [False, True, False]),
        ({"who": ("Ada", "Ben")}, [False, True, False]),
        ({"who": ("Ben",)}, [False, False, False]),
        ({"cameras": ("yard",)}, [False, False, False]),
        ({"sightings": 11}, [False, False, False]),
        ({"hours": ("mon 0:00-0:01",)}, [False, False, False]),
    ],
)
def test_a_rule_is_about_some_visits(rule: dict[str, Any], told: list[bool]) -> None:
    for one, speaks in zip((BEGIN, ADA, STRANGER), told, strict=True):
        messages, _ = rules(**rule).messages(one)
        assert [m.target for m in messages] == ["house", "phone"] * speaks


def test_who_heard_of_a_visit_hears_what_becomes_of_it() -> None:
    these = rules(who="unknown", tell=("phone",))
    kinds: list[Kind] = ["begin", "change", "end"]
    events = [
        event(kind, who="unsure" if kind == "begin" else "unknown") for kind in kinds
    ]
    told = [[m.target for m in these.messages(e)[0]] for e in events]
    assert told == [[], ["phone"], ["phone"]]


def test_at_most_once_in_some_minutes_of_the_same_person() -> None:
    now = [NOW]
    these = rules(lambda: now[0], who="known", every_minutes=10)

    def told(visit: str, person: str, camera: str = "door") -> bool:
        one = event("change", visit, who="known", person=person, camera=camera)
        return bool(these.messages(one)[0])

    assert told("a", "Ada")
    assert not told("b", "Ada")
    assert told("c", "Ben")
    assert told("d", "Ada", camera="yard")
    now[0] += 601
    assert told("e", "Ada")


def test_people_are_told_once_of_a_visit() -> None:
    hooks = (Webhook(name="ntfy", url="http://house/", format="text"),)
    said = WatchFile(cameras=(DOOR,), webhooks=hooks, rules=(Rule(who="known"),))
    these = Rules(said, clock=lambda: NOW)
    kinds: list[Kind] = ["change", "change", "end"]
    events = [event(kind, who="known", person="Ada") for kind in kinds]
    assert [len(these.messages(one)[0]) for one in events] == [1, 0, 0]


def test_a_rule_comes_and_goes_while_visits_go_on() -> None:
    these = rules(who="known")
    assert these.messages(BEGIN) == ([], [])
    these.add("added-1", Rule(who="anybody"), once=False)
    assert [m.target for m in these.messages(BEGIN)[0]] == ["added-1"]
    these.drop("added-1")
    assert these.messages(event("end", who="unsure")) == ([], [])


def test_a_restart_says_nothing_again_that_was_said_lately(tmp_path: Path) -> None:
    """Also after more than a day; a rule that says something else is another one."""
    week, now = 7 * 24 * 60, [NOW]
    store = VisitStore(tmp_path / "visits.db", clock=lambda: now[0])

    def run(visit: str, **rule: Any) -> int:
        these = rules(lambda: now[0], who="known", every_minutes=week, **rule)
        again = Rules(these.said, silences=store.silences(), clock=lambda: now[0])
        one = event("change", visit, who="known", person="Ada")
        messages, silences = again.messages(one)
        assert store.record(one, messages, silences=silences, keep=False)
        store.sweep(keep_days=None)
        return len(messages)

    assert run("a") == 2
    assert run("b") == 0
    now[0] += 3 * 86_400
    assert run("c") == 0
    assert run("d", cameras=("door",)) == 2
    now[0] += 5 * 86_400
    assert run("e") == 2
    store.close()


# -- webhooks


@pytest.fixture(autouse=True)
def _waits_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.watch.sending._LOOK_S", 0.05)


class Receiver(ThreadingHTTPServer):
    """A webhook's receiver; `mode` is "good", "failing" or "stalling"."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Receiving)
        self.mode = "good"
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.tries = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}/hook?house=1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up is no error."""

    @property
    def visits(self) -> list[str]:
        return [json.loads(body)["visit"]["id"] for _, body in self.got]


class _Receiving(BaseHTTPRequestHandler):
    server: Receiver

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.tries += 1
        if self.server.mode == "stalling":
            time.sleep(1)
            return
        if self.server.mode == "failing":
            self.send_error(500)
            return
        self.server.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(204)
        self.end_headers()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with served(Receiver()) as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VisitStore]:
    kept = VisitStore(tmp_path / "visits.db")
    yield kept
    kept.close()


def message(visit: str, target: str = "house") -> Message:
    body = json.dumps({"id": f"id-{visit}", "visit": {"id": visit}})
    return Message(0, target, visit, body, time.time() + 86_400, 0)


def put(store: VisitStore, *visits: str, target: str = "house") -> None:
    for visit in visits:
        store.record(event("begin", visit), [message(visit, target)], keep=False)


def sender(store: VisitStore, url: str) -> Sender:
    target = WebhookTarget(Webhook(name="house", url=url), timeout_s=0.3)
    return Sender(store, target, pause=lambda tries: 0.05 * (tries + 1))


@pytest.mark.slow
def test_a_receiver_that_fails_and_stalls_gets_each_message_once_in_order(
    receiver: Receiver, store: VisitStore
) -> None:
    put(store, "a", "b")
    receiver.mode = "failing"
    sending = sender(store, receiver.url)
    sending.start()
    until(lambda: receiver.tries >= 2)
    assert receiver.got == []
    receiver.mode = "stalling"
    before = receiver.tries
    until(lambda: receiver.tries > before)
    receiver.mode = "good"
    put(store, "c")
    until(lambda: len(receiver.got) >= 3)
    sending.close()
    assert receiver.visits == ["a", "b", "c"]
    assert store.waiting() == []


def test_what_was_not_told_is_told_by_the_next_process(
    receiver: Receiver, tmp_path: Path
) -> None:
    store = VisitStore(tmp_path / "visits.db")
    put(store, "a")
    receiver.mode = "failing"
    first = sender(store, receiver.url)
    first.start()
    until(lambda: receiver.tries)
    first.close()
    store.close()
    receiver.mode = "good"
    again = VisitStore(tmp_path / "visits.db")
    second = sender(again, receiver.url)
    second.start()
    until(lambda: receiver.got)
    second.close()
    assert receiver.got[0][0]["webhook-id"] == "id-a", "the same id"
    again.close()


class Faulty:
    """A target that fails by a fault of its own, the first time."""

    name = "house"

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.tries = 0

    def tell(self, message: Message) -> None:
        self.tries += 1
        if self.tries == 1:
            raise KeyError("a fault of ours")
        self.heard.append(message.visit_id)


def test_an_unforeseen_fault_is_logged_and_tried_again(
    store: VisitStore, caplog: pytest.LogCaptureFixture
) -> None:
    put(store, "a", "b")
    target = Faulty()
    sending = Sender(store, target, pause=lambda _: 0.01)
    sending.start()
    until(lambda: target.heard == ["a", "b"])
    sending.close()
    assert "a fault of ours" in caplog.text


def test_states_are_told_after_an_unforeseen_fault(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("paho.mqtt")
    monkeypatch.setattr("mien.watch.mqtt._STATES_S", 0.01)
    asked: list[int] = []

    def states() -> list[CameraState]:
        asked.append(1)
        if len(asked) == 1:
            raise KeyError("a fault of ours")
        return []

    mqtt = MqttTarget(Mqtt(host="127.0.0.1", port=1), states)
    mqtt.start()
    until(lambda: len(asked) > 2)
    mqtt.close()
    assert "a fault of ours" in caplog.text


def test_who_is_forgotten_is_not_said_again_by_what_the_broker_had() -> None:
    client = pytest.importorskip("paho.mqtt.client")
    mqtt = MqttTarget(Mqtt(host="127.0.0.1", port=1), list)
    said = {"person": "Ada", "camera": "door", "last_seen": "2027-01-15T08:00:05.000Z"}
    heard = client.MQTTMessage(topic=f"mien/person/{slug('Ada')}".encode())
    heard.payload, heard.retain = json.dumps(said).encode(), True
    for forgotten, people in ((False, {"Ada"}), (True, set())):
        mqtt._retained.clear()  # as after a start
        mqtt._heard(mqtt._client, None, heard)
        if forgotten:
            mqtt.forget(["Ada"])
        mqtt._put_right()
        assert mqtt.people == people


def test_an_end_that_is_told_before_the_broker_says_what_it_had_counts() -> None:
    """Of a visit that a kill left open: who was before it was said to be seen last goes on being there for a while."""
    client = pytest.importorskip("paho.mqtt.client")
    mqtt = MqttTarget(Mqtt(host="127.0.0.1", port=1), list)
    topic = f"mien/person/{slug('Ada')}"
    for early, late, seen in (
        ("05", "07", "07"),
        ("07", "05", "07"),
        (None, "05", "05"),
    ):
        mqtt._retained.clear()  # as after a start
        mqtt._ended.clear()
        said = {
            "person": "Ada",
            "camera": "door",
            "last_seen": f"2027-01-15T08:00:{late}.000Z",
        }
        if early:
            end = f"2027-01-15T08:00:{early}.000Z"
            mqtt._note_end(
                {"event": "end", "person": "Ada", "camera": "yard", "end": end}
            )
        heard = client.MQTTMessage(topic=topic.encode())
        heard.payload, heard.retain = json.dumps(said).encode(), True
        mqtt._heard(mqtt._client, None, heard)
        mqtt._put_right()
        assert json.loads(mqtt._retained[topic])["last_seen"][17:19] == seen


def test_who_is_forgotten_or_deleted_is_not_here_for_ever(
    analyzer: Analyzer, tmp_path: Path
) -> None:
    """Of their visit, which goes on, no end comes any more."""
    broker = Mqtt(host="127.0.0.1", port=1)
    said = WatchFile(cameras=(DOOR,), watch=Keeping(keep_days=1), mqtt=broker)
    with Watch(analyzer, said, data=tmp_path) as watch:
        store, mqtt = watch.store, watch._mqtt
        assert store is not None
        assert mqtt is not None

        def here(count: int, *people: str) -> bool:
            told = json.loads(mqtt._retained.get("mien/camera/door/people", "{}"))
            return (told.get("count"), told.get("people")) == (count, list(people))

        def happen(kind: Kind, visit: str, person: str) -> None:
            one, now = event(kind, visit, who="known", person=person), time.time()
            watch._tell(replace(one, begins=now, seen=now))

        both = (("v1", "Ada"), ("v2", "Ben"))
        for visit, person in both:
            happen("begin", visit, person)
        until(lambda: here(2, "Ada", "Ben"))
        mqtt.forget(["Ada"])
        assert here(2, "Ben")
        for visit, person in both:
            store.forget(visit)
            happen("end", visit, person)
        until(lambda: here(0))


def tell_forever(say: Callable[[int], None], file: Path, url: str, turn: int) -> None:
    store = VisitStore(file)
    sender(store, url).start()
    for i in range(1000):
        put(store, f"{turn}-{i}")
        say(i)
        time.sleep(0.01)


@pytest.mark.slow
def test_kill_9_loses_nothing_and_tells_nothing_under_another_id(
    receiver: Receiver, tmp_path: Path
) -> None:
    file = tmp_path / "visits.db"
    written: list[str] = []
    for turn in range(20):
        receiver.mode = "failing" if turn % 2 else "good"
        child, said = saying(tell_forever, file, receiver.url, turn)
        for i in said:
            written.append(f"{turn}-{i}")
            if i == 6 + turn:
                break
        child.kill()
        child.join()
    receiver.mode = "good"
    store = VisitStore(file)
    last = sender(store, receiver.url)
    last.start()
    until(lambda: not store.waiting())
    last.close()
    store.close()
    told = {json.loads(body)["id"] for _, body in receiver.got}
    assert set(written) <= set(receiver.visits)
    assert len(told) == len(set(receiver.visits)), "one id for each"


@pytest.mark.parametrize("picture", [b"", b"\xff\xd8jpeg"])
def test_people_read_a_line_with_the_picture_by_choice(
    receiver: Receiver, picture: bytes
) -> None:
    """As ntfy takes it: the picture is the body then, and the line a header of RFC 2047."""
    hook = Webhook(name="ntfy", url=receiver.url, format="text", picture=True)
    visit = {"id": "v1", "camera": "Tür", "who": "known", "person": "Åda", "age": 41.3}
    body = json.dumps({"id": "m1", "rule": "door", "visit": visit})
    target = WebhookTarget(hook, picture=lambda _: picture)
    target.tell(Message(1, "ntfy", "v1", body, NOW, 0))
    ((headers, got),) = receiver.got
    line = "Åda at Tür: about 41"
    assert headers["title"] == "door"
    assert headers["webhook-id"] == "m1"
    if not picture:
        assert got.decode() == line
        return
    assert (got, headers["content-type"]) == (picture, "image/jpeg")
    assert headers["message"].isascii()
    assert str(make_header(decode_header(headers["message"]))) == line


def test_a_message_is_signed() -> None:
    """As https://www.standardwebhooks.com has it; the numbers are of its own example."""
    headers = signed(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        at=1614265330,
    )
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-signature"] == expected
    assert headers["webhook-timestamp"] == "1614265330"
    assert "webhook-signature" not in signed("x", b"", "", at=0)


def test_a_receiver_can_check_who_sent_it(
    receiver: Receiver, store: VisitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOUSE_SECRET", "open sesame")
    said = {"name": "house", "url": receiver.url, "secret_env": "HOUSE_SECRET"}
    hook = Webhook.model_validate(said)
    WebhookTarget(hook).tell(message("a"))
    (headers, body) = receiver.got[0]
    said = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(b"open sesame", said, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 30


# -- MQTT


class Broker:
    """mosquitto, that knows one user; who was away gets what came meanwhile, also after a restart."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        passwords = folder / "passwords"
        tool = ["mosquitto_passwd", "-b", "-c", str(passwords), "house", "s3cret"]
        subprocess.run(tool, check=True, capture_output=True)
        passwords.chmod(0o644)
        folder.chmod(0o755)
        self.config = folder / "mosquitto.conf"
        self.config.write_text(
            f"listener {self.port} 127.0.0.1\npassword_file {passwords}\nuser root\n"
            f"persistence true\npersistence_location {folder}/\n"
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [shutil.which("mosquitto") or "/usr/sbin/mosquitto"]
        self.process = subprocess.Popen(
            [*command, "-c", str(self.config)], stderr=subprocess.DEVNULL
        )
        until(self._answers)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=10)
            self.process = None


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    if not shutil.which("mosquitto_passwd"):
        pytest.skip("mosquitto, an MQTT broker, is missing")
    made = Broker(tmp_path)
    made.start()
    yield made
    made.stop()


class Listener:
    """What a client of the house hears: the retained values and the events."""

    def __init__(self, broker: Broker) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.values: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []
        self.subscribed = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False
        )
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        self._client.username_pw_set("house", "s3cret")
        self._client.on_message = self._heard
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.connect_async("127.0.0.1", broker.port)
        self._client.reconnect_delay_set(1, 1)
        self._client.loop_start()

    def _heard(self, _client: Any, _data: Any, heard: Any) -> None:
        text = heard.payload.decode()
        if heard.topic == "mien/events":
            self.events.append(json.loads(text))
        elif not text:
            self.values.pop(heard.topic, None)
        elif text.startswith("{"):
            self.values[heard.topic] = json.loads(text)
        else:
            self.values[heard.topic] = text

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def house(broker: Broker) -> Iterator[Listener]:
    listener = Listener(broker)
    until(listener.subscribed.is_set)  # from here on it misses nothing
    yield listener
    listener.close()


def target(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> MqttTarget:
    monkeypatch.setenv("BROKER_PASSWORD", "s3cret")
    said = Mqtt(
        host="127.0.0.1",
        port=broker.port,
        user="house",
        password_env="BROKER_PASSWORD",  # noqa: S106 - the variable's name
    )
    return MqttTarget(said, lambda: [CameraState("door", "up")])


def telling(mqtt: MqttTarget, store: VisitStore) -> tuple[MqttTarget, Sender]:
    """A broker to be told, and what tells it whatever waits in the store."""
    mqtt.start()
    sending = Sender(store, mqtt, pause=lambda _: 0.1)
    sending.start()
    return mqtt, sending


@pytest.mark.slow
def test_the_house_hears_events_and_who_is_where(
    broker: Broker, house: Listener, store: VisitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    mqtt, sending = telling(target(broker, monkeypatch), store)
    put(store, "a", target="mqtt")
    until(lambda: house.events)
    assert house.events[0]["visit"]["id"] == "a"
    mqtt.note(event("begin", who="unsure"))
    mqtt.note(event("change", who="known", person="Ada"))
    state = "mien/camera/door/people"
    until(lambda: house.values.get(state, {}).get("people") == ["Ada"])
    assert house.values[state]["here"] == "ON"
    person = f"mien/person/{slug('Ada')}"
    until(lambda: house.values.get(person, {}).get("here") == "ON")
    assert house.values["mien/status"] == "online"
    until(lambda: house.values["mien/camera/door/state"]["connected"] == "ON")
    config = house.values["homeassistant/binary_sensor/mien_door/presence/config"]
    assert config["state_topic"] == state
    assert config["availability_topic"] == "mien/status"
    mqtt.note(event("end", who="known", person="Ada"))
    until(lambda: house.values[state]["here"] == "OFF")
    until(lambda: house.values[person]["here"] == "OFF")
    assert house.values[person]["last_seen"] == "2027-01-15T08:00:05.000Z"
    mqtt.forget(["Ada"])
    until(lambda: not any("person" in topic for topic in house.values))
    sending.close()
    mqtt.close()
    until(lambda: house.values["mien/status"] == "offline")


@pytest.mark.slow
def test_a_broker_that_comes_and_goes_loses_no_event(
    broker: Broker, house: Listener, store: VisitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    mqtt, sending = telling(target(broker, monkeypatch), store)
    put(store, "a", target="mqtt")
    until(lambda: len(house.events) == 1)
    broker.stop()
    put(store, "b", "c", target="mqtt")
    mqtt.note(event("begin", who="known", person="Ada"))
    until(lambda: any(message.tries for message in store.waiting()))
    house.values.clear()
    broker.start()
    until(lambda: len({e["id"] for e in house.events}) == 3)
    until(lambda: house.values.get("mien/camera/door/people", {}).get("count") == 1)
    sending.close()
    mqtt.close()
    assert store.waiting() == []


@pytest.mark.slow
def test_what_a_killed_run_left_at_the_broker_is_put_right(
    broker: Broker, house: Listener, store: VisitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ada was there when it was killed; "yard" is not in the file any more."""
    before = target(broker, monkeypatch)
    before.states = lambda: [CameraState(name, "up") for name in ("door", "yard")]
    before.start()
    before.note(event("begin", "v1", who="known", person="Ada"))
    person = f"mien/person/{slug('Ada')}"
    until(lambda: house.values.get(person, {}).get("here") == "ON")
    until(lambda: "mien/camera/yard/state" in house.values)
    abandon(before)
    until(lambda: house.values["mien/status"] == "offline")
    mqtt, sending = telling(target(broker, monkeypatch), store)
    until(lambda: house.values[person]["here"] == "OFF")
    assert house.values[person]["last_seen"] == "2027-01-15T08:00:05.000Z"
    until(lambda: house.values["mien/camera/door/people"]["here"] == "OFF")
    until(lambda: not [topic for topic in house.values if "yard" in topic])
    assert house.values["mien/status"] == "online"
    assert mqtt.people == {"Ada"}, "who is taken back when she is forgotten"
    ended = {"event": "end", "id": "v1", "camera": "door", "person": "Ada"}
    body = {"id": "m1", "visit": {**ended, "end": "2027-01-15T08:01:00.000Z"}}
    told = Message(0, "mqtt", "v1", json.dumps(body), 9e9, 0)
    store.record(event("end"), [told], keep=False)
    until(lambda: house.values[person]["last_seen"] == "2027-01-15T08:01:00.000Z")
    mqtt.states = list
    until(lambda: not [topic for topic in house.values if "door" in topic])
    sending.close()
    mqtt.close()


def abandon(mqtt: MqttTarget) -> None:
    """What a kill does: the connection breaks, and nobody says goodbye."""
    mqtt._stop.set()
    connection = mqtt._client.socket()
    mqtt._client.on_disconnect = lambda client, *_: client.loop_stop()
    assert connection is not None
    mqtt._client.reconnect_delay_set(600, 600)
    connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.slow
def test_a_wrong_password_is_said(
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mqtt = target(broker, monkeypatch)
    monkeypatch.setenv("BROKER_PASSWORD", "guess")
    mqtt = MqttTarget(mqtt.said, list)
    mqtt.start()
    until(lambda: "check user and password" in caplog.text)
    mqtt.close()
    assert "guess" not in caplog.text


def test_two_names_never_become_one_topic() -> None:
    names = ["door", "Door", "döor", "d or", "d_or", "門"]
    assert len({slug(name) for name in names}) == len(names)
    assert slug("door") == "door"
