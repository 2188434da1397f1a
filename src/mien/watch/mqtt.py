"""MQTT: every event, who is where now, how each camera does; Home Assistant finds all of it by itself.

The only module that imports paho-mqtt.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import re
import ssl
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mien.errors import InputError
from mien.text import why
from mien.watch.feed import CameraState
from mien.watch.sending import NotTold
from mien.watch.settings import Mqtt
from mien.watch.store import MQTT, Message
from mien.watch.visits import Event, iso

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage

log = logging.getLogger(__name__)

_TOLD_S = 10.0  # until the broker has acknowledged a message
_KEEP_ALIVE_S = 30
_STATES_S = 2.0  # between two looks at how the cameras do
_ON, _OFF = "ON", "OFF"


class MqttTarget:
    """A broker. Events go through the queue of the database; what is true now is retained at the broker, and said
    again whenever it was away. What an earlier run left there, which may have been killed, is put right: its people
    are not here any more, and cameras that nobody watches are taken back.

    Args:
        said: Which broker.
        states: How the cameras do.

    Raises:
        InputError: The package is not installed, or the password cannot be had.
    """

    name = MQTT

    def __init__(self, said: Mqtt, states: Callable[[], list[CameraState]]) -> None:
        self.said = said
        self.states = states
        self._lock = threading.RLock()
        self._retained: dict[str, str] = {}  # by topic
        self._here: dict[str, dict[str, str | None]] = {}  # by camera: who, by visit
        self._left: dict[str, bytes] = {}  # by topic: what the broker had before
        # By person: the latest end that was told, and its camera.
        self._ended: dict[str, tuple[str, str]] = {}
        self._why = f"the broker {said.host} is away"
        self._stop = threading.Event()
        self._client = self._make_client()
        self._thread = threading.Thread(
            target=self._keep_telling, name="mqtt states", daemon=True
        )

    def _make_client(self) -> Client:
        if importlib.util.find_spec("paho") is None:
            raise InputError("MQTT needs paho-mqtt; run \"pip install 'mien[watch]'\"")
        from paho.mqtt.client import Client, MQTTv311
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv311)
        if self.said.user:
            try:
                client.username_pw_set(self.said.user, self.said.password)
            except ValueError as exc:
                raise InputError(f"mqtt: {exc}") from exc
        if self.said.tls:
            ca = None if self.said.ca_file is None else str(self.said.ca_file)
            try:
                client.tls_set(ca_certs=ca)
            except OSError as exc:  # no file, or no certificate in it
                raise InputError(f"mqtt: cannot use ca_file {ca}: {why(exc)}") from exc
        client.will_set(self._topic("status"), "offline", qos=1, retain=True)
        client.reconnect_delay_set(min_delay=1, max_delay=60)
        client.on_connect = self._connected
        client.on_message = self._heard
        client.on_connect_fail = lambda *_: self._note_failure(sys.exc_info()[1])
        return client

    def start(self) -> None:
        """Connects, and again whenever the connection is lost."""
        self._client.connect_async(self.said.host, self.said.port, _KEEP_ALIVE_S)
        self._client.loop_start()
        self._thread.start()

    def close(self) -> None:
        """Says that nobody watches any more."""
        self._stop.set()
        self._thread.join(timeout=5.0)
        if self._client.is_connected():
            topic = self._topic("status")
            self._client.publish(topic, "offline", qos=1, retain=True).wait_for_publish(
                2.0
            )
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(
        self, client: Client, _data: Any, _flags: Any, code: Any, _more: Any
    ) -> None:
        if code.is_failure:
            why = f"the broker {self.said.host} refuses: {code}"
            log.warning("%s; check user and password", why)
            return
        client.publish(self._topic("status"), "online", qos=1, retain=True)
        client.subscribe([(self._topic(t), 1) for t in ("person/+", "camera/+/state")])
        with self._lock:
            retained = dict(self._retained)
        for topic, payload in retained.items():
            client.publish(topic, payload, qos=1, retain=True)

    def _note_failure(self, exc: BaseException | None) -> None:
        """Notes why there is no connection; of a certificate, what to do."""
        self._why = f"the broker {self.said.host} is away"
        if isinstance(exc, ssl.SSLCertVerificationError):
            self._why = (
                f"the broker {self.said.host} has no certificate that is trusted "
                f"({exc.verify_message}); name its authority by ca_file"
            )
        elif isinstance(exc, ssl.SSLError):
            port = f"port {self.said.port}"
            self._why = f"the broker {self.said.host} speaks no TLS at {port}: {exc}"

    def _heard(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if message.retain and message.payload:
            with self._lock:
                self._left[message.topic] = bytes(message.payload)

    # -- events

    def tell(self, message: Message) -> None:
        """Raises NotTold where the broker has not acknowledged it."""
        if not self._client.is_connected():
            raise NotTold(self._why)
        sent = self._client.publish(self._topic("events"), message.body, qos=1)
        try:
            sent.wait_for_publish(_TOLD_S)
        except (RuntimeError, ValueError) as exc:
            raise NotTold(str(exc)) from exc
        if not sent.is_published():
            raise NotTold(f"the broker {self.said.host} does not acknowledge")
        self._note_end(json.loads(message.body).get("visit", {}))

    def _note_end(self, visit: Mapping[str, Any]) -> None:
        """A person may have been here later than is known: in a visit that a kill left open."""
        person = visit.get("person")
        if person is None or visit.get("event") != "end":
            return
        with self._lock:
            ended = visit["end"], visit["camera"]
            self._ended[person] = max(ended, self._ended.get(person, ended))
            said = json.loads(self._retained.get(self._person_topics(person)[0], "{}"))
            if said and said["last_seen"] < visit["end"]:
                self._say_person(person, visit["camera"], visit["end"])

    # -- what is true now

    def note(self, event: Event) -> None:
        """Takes an event into who is where now."""
        person = event.told.get("person")
        with self._lock:
            here = self._here.setdefault(event.camera, {})
            if event.kind in {"begin", "change"}:
                here[event.visit] = person
            else:
                here.pop(event.visit, None)
            self._say_camera(event.camera)
            if person is not None:
                self._say_person(person, event.camera, iso(event.seen))

    def drop(self, event: Event) -> None:
        """A visit was deleted while it went on: nobody hears of its end."""
        with self._lock:
            here = self._here.get(event.camera, {})
            if event.visit in here:
                del here[event.visit]
                self._say_camera(event.camera)

    def forget(self, people: Iterable[str]) -> None:
        """Takes people back from the broker who are forgotten, and their names from who is before the cameras."""
        gone = set(people)
        with self._lock:
            for person in gone:
                self._ended.pop(person, None)
                self._take_back(self._person_topics(person))
            for camera, here in self._here.items():
                theirs = [visit for visit, who in here.items() if who in gone]
                if theirs:
                    here.update(dict.fromkeys(theirs))
                    self._say_camera(camera)

    @property
    def people(self) -> set[str]:
        """Whom the broker was told of."""
        with self._lock:
            start = self._topic("person/")
            said = [v for t, v in self._retained.items() if t.startswith(start)]
        return {json.loads(value)["person"] for value in said}

    def _say_camera(self, camera: str) -> None:
        people = list(self._here.get(camera, {}).values())
        self._retain(
            self._topic(f"camera/{slug(camera)}/people"),
            {
                "here": _ON if people else _OFF,
                "count": len(people),
                "people": sorted({name for name in people if name is not None}),
                "unknown": people.count(None),
            },
        )

    def _say_person(self, person: str, camera: str, seen: str) -> None:
        here = [
            place for place, visits in self._here.items() if person in visits.values()
        ]
        topic, *_ = self._person_topics(person)
        self._retain(
            topic,
            {
                "person": person,
                "here": _ON if here else _OFF,
                "camera": camera,
                "last_seen": seen,
            },
        )
        self._discover_person(person, topic)

    def _keep_telling(self) -> None:
        """Says how the cameras do, whenever that changes."""
        while not self._stop.is_set():
            try:
                self._say_states()
                self._stop.wait(_STATES_S)
                self._put_right()
            except Exception:  # a thread must not die in silence
                log.exception("the broker could not be told how the cameras do")
                self._stop.wait(_STATES_S)

    def _say_states(self) -> None:
        states = self.states()
        for state in states:
            self._discover_camera(state.name)
            said = {"state": state.state, "why": state.why or None}
            said["connected"] = _ON if state.state == "up" else _OFF
            with self._lock:
                self._retain(self._topic(f"camera/{slug(state.name)}/state"), said)
                if state.name not in self._here:
                    self._here[state.name] = {}
                    self._say_camera(state.name)
        with self._lock:
            for name in set(self._here) - {state.name for state in states}:
                del self._here[name]
                self._take_back(self._camera_topics(slug(name)))

    def _put_right(self) -> None:
        """Nobody takes back what a killed run said last; it is not true any more."""
        watched = {slug(state.name) for state in self.states()}
        with self._lock:
            left, self._left = self._left, {}
            for topic, payload in left.items():
                name = topic.removeprefix(self._topic("")).split("/")[1]
                if topic in self._retained:
                    continue
                if topic.startswith(self._topic("person/")):
                    self._say_gone(topic, payload)
                elif name not in watched:
                    self._take_back(self._camera_topics(name))

    def _say_gone(self, topic: str, payload: bytes) -> None:
        try:
            said = json.loads(payload)
            person, *last = (str(said[k]) for k in ("person", "last_seen", "camera"))
        except (ValueError, KeyError, TypeError):  # not ours
            return
        if self._person_topics(person)[0] == topic:
            # Of a visit that a kill left open the end may have been told before this was heard.
            seen, camera = max(tuple(last), self._ended.get(person, ("", "")))
            self._say_person(person, camera, seen)

    def _take_back(self, topics: Iterable[str]) -> None:
        for topic in topics:
            self._retained.pop(topic, None)
            self._left.pop(topic, None)
            self._client.publish(topic, "", qos=1, retain=True)

    def _retain(self, topic: str, said: dict[str, Any]) -> None:
        payload = json.dumps(said, ensure_ascii=False)
        if self._retained.get(topic) == payload:
            return
        self._retained[topic] = payload
        if self._client.is_connected():
            self._client.publish(topic, payload, qos=1, retain=True)

    # -- Home Assistant

    def _discover_camera(self, camera: str) -> None:
        name = slug(camera)
        device = {
            "identifiers": [f"{self.said.prefix}_{name}"],
            "name": camera,
            "manufacturer": "mien",
        }
        people = self._topic(f"camera/{name}/people")
        self._discover(
            f"binary_sensor/{self.said.prefix}_{name}/presence",
            {
                "name": "Somebody is here",
                "device_class": "occupancy",
                "state_topic": people,
                "value_template": "{{ value_json.here }}",
                "json_attributes_topic": people,
                "device": device,
            },
        )
        self._discover(
            f"binary_sensor/{self.said.prefix}_{name}/connected",
            {
                "name": "Connected",
                "device_class": "connectivity",
                "entity_category": "diagnostic",
                "state_topic": self._topic(f"camera/{name}/state"),
                "value_template": "{{ value_json.connected }}",
                "device": device,
            },
        )

    def _discover_person(self, person: str, topic: str) -> None:
        name = slug(person)
        device = {
            "identifiers": [f"{self.said.prefix}_person_{name}"],
            "name": person,
            "manufacturer": "mien",
        }
        node = f"{self.said.prefix}_person_{name}"
        self._discover(
            f"binary_sensor/{node}/here",
            {
                "name": "Is here",
                "device_class": "presence",
                "state_topic": topic,
                "value_template": "{{ value_json.here }}",
                "json_attributes_topic": topic,
                "device": device,
            },
        )
        self._discover(
            f"sensor/{node}/seen",
            {
                "name": "Last seen",
                "device_class": "timestamp",
                "state_topic": topic,
                "value_template": "{{ value_json.last_seen }}",
                "device": device,
            },
        )

    def _discover(self, entity: str, said: dict[str, Any]) -> None:
        if not self.said.discovery:
            return
        said["unique_id"] = entity.partition("/")[2].replace("/", "_")
        said["availability_topic"] = self._topic("status")
        with self._lock:
            self._retain(f"{self.said.discovery}/{entity}/config", said)

    def _person_topics(self, person: str) -> list[str]:
        """All that is retained of a person, their state first."""
        node = f"{self.said.prefix}_person_{slug(person)}"
        found = [self._topic(f"person/{slug(person)}")]
        if self.said.discovery:
            found += [
                f"{self.said.discovery}/binary_sensor/{node}/here/config",
                f"{self.said.discovery}/sensor/{node}/seen/config",
            ]
        return found

    def _camera_topics(self, name: str) -> list[str]:
        """All that is retained of a camera, by its slug."""
        found = [self._topic(f"camera/{name}/{what}") for what in ("state", "people")]
        if self.said.discovery:
            node = f"{self.said.discovery}/binary_sensor/{self.said.prefix}_{name}"
            found += [f"{node}/{what}/config" for what in ("presence", "connected")]
        return found

    def _topic(self, name: str) -> str:
        return f"{self.said.prefix}/{name}"


def slug(name: str) -> str:
    """A name as topics may hold it; two names never become one."""
    plain = re.sub(r"[^a-z0-9_-]+", "_", name.lower()).strip("_")
    if plain == name:
        return plain
    return f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:6]}".lstrip("_")
