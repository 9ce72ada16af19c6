"""The program that runs for years: signals, clocks, the broker, health, and one `Assembly` after the other.

What lives as long as the process stands here; what a configuration makes is the assembly's, and a reload changes one
for the other. Beside `assembly` the only place that knows the time of day.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Collection, Mapping
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from edgeface import __version__
from edgeface.board import ROOT
from edgeface.errors import BrokerError, EdgefaceError, one_line
from edgeface.events import Body, ConfigurationHealth, HealthMessage, Problem, health_body, iso
from edgeface.machine import boot_id, give_back_memory, resident_mb, state_folder
from edgeface.publish.announcer import Announcer
from edgeface.publish.ledger import Ledger
from edgeface.publish.mqtt import Publisher
from edgeface.publish.opening import forget
from edgeface.publish.outbox import Outbox
from edgeface.publish.reasons import CHECK_RIGHTS
from edgeface.publish.spool import Spool
from edgeface.service.assembly import Assembly
from edgeface.service.beat import HealthBeat, Problems
from edgeface.service.building import Building
from edgeface.service.control import RESTART_CODE, Control
from edgeface.service.holding import Holding
from edgeface.service.metrics import Metrics
from edgeface.service.notify import Notifier
from edgeface.service.reload import Load, Reload
from edgeface.service.signals import Signals
from edgeface.service.standing import Standing
from edgeface.service.untouched import capacity, connection_of, outbox_of, spooled
from edgeface.service.vitals import Start, Trouble, Vitals, configuration_note, tuning_health
from edgeface.service.waits import Waits
from edgeface.service.watching import Watch
from edgeface.tuning import place

logger = logging.getLogger(__name__)


class Daemon:
    """One run of the program, from READY to the last message.

    Parameters
    ----------
    load : builds what the configuration makes; called once at the start and once for every reload
    signals : what is asked of us
    environ : for the service manager
    root : where files of the kernel begin, for tests

    Raises
    ------
    EdgefaceError : what `load` raises
    """

    def __init__(
        self,
        load: Load,
        *,
        signals: Signals,
        environ: Mapping[str, str],
        waits: Waits | None = None,
        root: Path = ROOT,
    ) -> None:
        self._load = load
        self._signals = signals
        self._waits = waits or Waits()
        self._start = Start(time.monotonic())
        self._notifier = Notifier(environ)
        self._trouble = Trouble().attach()
        self._state_folder = state_folder(environ)
        self._vitals = Vitals(self._state_folder, root=root)
        self._holding = Holding(root)
        self._tuning = Watch(place(environ))
        self._metrics = Metrics()
        self._assembly = load(None)
        self._standing = Standing(self._state_folder)
        self._control = Control(self._state_folder, restart_s=self._waits.restart_s)
        self._outbox = self._new_outbox(self._assembly)
        self._ledger = self._new_ledger(self._outbox)
        self._announcer = Announcer(self._assembly.announcement)
        self._publisher = self._new_publisher(self._assembly, self._outbox, self._ledger)
        self._building = Building()
        self._reload: Reload | None = None
        self._reload_error = configuration_note(environ)
        self._restart = False
        self._problems = Problems()
        self._throttled: list[str] = []
        self._beat = HealthBeat(every_s=self._waits.health_s, extra_s=self._waits.extra_s)
        self._watchdog_due_s = 0.0
        self._health_s = self._start.at_s

    def run(self) -> int:
        """Run until the sources end or a signal asks to stop; exit code.

        Raises
        ------
        BrokerError, SourceError : in a finite run, when broker or source is not up in time or fails
        """
        self._signals.started()
        self._open(self._outbox, self._assembly)
        self._publisher.start()
        try:
            if self._assembly.finite:
                self._await_broker()
            self._notifier.ready()
            self._begin()
            while self._assembly.running and not self._stopping:
                self._turn()
            self._accept(self._assembly.end_visits("stopped"))
        except BaseException:
            self._shut(flush_s=0.0)
            raise
        if not self._shut(flush_s=self._waits.flush_s) and self._assembly.finite:
            raise self._broker_error()
        if self._assembly.failure is not None:
            raise self._assembly.failure
        if self._assembly.finite and self._outbox.counters().rejected_visits:
            raise self._broker_error()
        return RESTART_CODE if self._restart and self._signals.stop is None else self._signals.exit_code

    @property
    def _stopping(self) -> bool:
        return self._restart or self._signals.stop is not None

    def _await_broker(self) -> None:
        """Wait for the broker, until it refuses us, the time is up, or a signal comes."""
        deadline_s = time.monotonic() + self._waits.up_within_s
        while not self._publisher.connection.wait_connected(self._waits.turn_s) and not self._stopping:
            if self._publisher.connection.state == "refused" or time.monotonic() >= deadline_s:
                raise self._broker_error()

    def _begin(self, kept: Collection[str] = ()) -> None:
        """Tell who is here, and read the cameras; ``kept`` are those that go on as they were."""
        assembly, config = self._assembly, self._assembly.config
        self._standing.begin(
            assembly.node, assembly.counted, live=assembly.live, kept=kept, privacy=config.privacy, keeper=self._outbox
        )
        self._control.begin(
            self._assembly.node,
            enabled=config.commands.enabled,
            cameras=config.cameras,
            tasks={head.task for _, head in self._assembly.networks.heads},
        )
        self._restrict()
        if config.privacy.least_count is not None:
            # What the broker keeps from before may tell of fewer.
            for camera in config.cameras:
                self._outbox.clear("summary", f"{camera}/summary")
        self._accept([self._assembly.notice(self._control.muted)])
        # First of all that nobody looks yet: after a kill the broker may still have it that somebody is there.
        self._accept(self._standing.news(self._assembly.looks()))
        self._building.begin(self._assembly.opened, config, self._assembly.accelerated)
        self._tell_health()
        self._assembly.start()

    def _turn(self) -> None:
        self._accept(self._assembly.turn(self._waits.turn_s))
        self._obey()
        self._accept(self._standing.news(self._assembly.looks()))
        for camera, error in self._assembly.take_ended():
            if error is not None and not self._assembly.finite:
                logger.error("camera %s ended: %s", camera, error)
        if self._beat.due(time.monotonic(), self._standings):
            self._tell_health()
        self._holding.look(time.monotonic(), self._assembly.worker, self._assembly.config.runtime)
        self._feed_watchdog()
        self._look_after_reload()

    def _obey(self) -> None:
        """Follow commands, and tell at once what came of them."""
        queue, muted = self._publisher.commands, self._control.muted
        if queue is None or not self._control.obey(queue):
            return
        self._restrict()
        if self._control.muted != muted:
            self._accept([self._assembly.notice(self._control.muted)])
        self._tell_health()

    def _restrict(self) -> None:
        self._accept(self._assembly.restrict(self._control.paused, self._control.muted))

    def _look_after_reload(self) -> None:
        """Begin a reload that was asked for, or end one that has an outcome; signals meanwhile make one more."""
        if self._reload is None:
            asked, ended = self._signals.take_reload(), self._building.take_done()
            if self._assembly.config.runtime.tune and self._tuning.changed(time.monotonic()):
                logger.info("what runs best on this board was measured anew: the configuration is read again")
                asked = True
            if asked:
                self._notifier.reloading(time.monotonic_ns() // 1000)
            if ended:
                self._tell_health()
            if asked or (ended and self._building.failed is None) or self._control.restarting:
                # A restart with a file that cannot hold would end the service until somebody comes.
                self._reload = Reload(self._load, self._assembly)
            return
        outcome = self._reload.outcome()
        if outcome is None:
            return
        self._reload = None
        restarting, self._control.restarting = self._control.restarting, False
        if restarting and not isinstance(outcome, EdgefaceError):
            self._restart = True
            return
        refusal = outcome if isinstance(outcome, EdgefaceError) else self._change_to(outcome)
        if refusal is None:
            logger.info("the configuration was read again and is in force")
        else:
            self._reload_error = one_line(str(refusal))
            what = "the program is not restarted" if restarting else "the configuration is not taken"
            logger.error("%s, the old one runs on: %s", what, self._reload_error)
            self._tell_health()
        give_back_memory()
        self._notifier.ready()

    def _change_to(self, new: Assembly) -> EdgefaceError | None:
        """Let a new assembly take the old one's place; why not, before anything is touched."""
        old = self._assembly
        outbox = (
            self._outbox
            if outbox_of(old.config, old.node) == outbox_of(new.config, new.node)
            else self._new_outbox(new)
        )
        same = outbox is self._outbox and (
            connection_of(old.config, old.password) == connection_of(new.config, new.password)
        )
        try:
            ledger = self._ledger if outbox is self._outbox else self._new_ledger(outbox)
            publisher = self._publisher if same else self._new_publisher(new, outbox, ledger)
        except EdgefaceError as error:  # a certificate that went while the networks were loaded
            return error
        # Under other topics nobody would hear the end of what began under the old ones.
        kept = frozenset[str]() if outbox is not self._outbox else new.untouched(old)
        self._accept(old.end_visits("stopped", but=kept))
        if outbox is not self._outbox:
            self._accept(self._standing.stopped(old.looks()))
        self._accept(new.take_over(old, kept))
        old.halt()
        old.join(self._waits.join_s)
        self._assembly, self._reload_error = new, None
        self._announcer.change(new.announcement, keep=new.config.home_assistant.discovery == "off")
        for camera in old.config.cameras.keys() - new.config.cameras.keys():
            self._clear(camera)
        self._change_publisher(publisher, outbox)
        self._ledger = ledger
        self._begin(kept)
        return None

    def _change_publisher(self, publisher: Publisher, outbox: Outbox) -> None:
        """Keep the connection where nothing about it changed, and what waits where the topics did not."""
        if outbox is not self._outbox:
            self._publisher.stop(timeout_s=self._waits.flush_s)
            # What it could not deliver the next one finds: it may be the same spool.
            self._outbox.close()
            self._open(outbox, self._assembly)
        elif publisher is not self._publisher:
            self._publisher.hand_over(timeout_s=self._waits.hand_over_s)
        outbox.resize(capacity(self._assembly.config))
        if publisher is not self._publisher:
            self._publisher, self._outbox = publisher, outbox
            publisher.start()

    def _feed_watchdog(self) -> None:
        """Tell the service manager that a turn is done, a few times a second at most."""
        now_s = time.monotonic()
        if now_s >= self._watchdog_due_s:
            self._watchdog_due_s = now_s + self._waits.turn_s
            self._notifier.watchdog()

    def _accept(self, bodies: list[Body]) -> None:
        for body in self._standing.through(bodies):
            self._outbox.accept(body)

    def _shut(self, *, flush_s: float) -> bool:
        """Stop readers, tell health once more, deliver what waits; True when all was delivered."""
        self._notifier.stopping()
        self._accept(self._standing.stopped(self._assembly.looks()))
        self._assembly.halt()
        self._tell_health(stopping=True)
        delivered = self._publisher.stop(timeout_s=flush_s)
        self._outbox.close()
        self._trouble.detach()
        self._assembly.join(self._waits.join_s)
        if self._reload is not None:
            self._reload.join(self._waits.leave_s)
        return delivered

    def _tell_health(self, *, stopping: bool = False) -> None:
        now_s = time.monotonic()
        machine = self._vitals.measure()
        self._throttled = machine.throttled or []
        problems = self._wrong()
        self._beat.told(now_s, self._standings())
        cameras = self._assembly.health(now_s - self._health_s)
        self._health_s = now_s
        if not stopping:
            running = sum(camera.state == "running" for camera in cameras.values())
            refused = f"; configuration not taken: {self._reload_error}" if self._reload_error else ""
            self._notifier.status(
                f"{running} of {len(cameras)} cameras running, broker {self._publisher.connection.state}"
                f"{self._building.words}{refused}"
            )
        body = health_body(
            at=datetime.now(timezone.utc),
            uptime_s=now_s - self._start.at_s,
            started=self._start.by_clock(now_s),
            cameras=cameras,
            stages_ms=self._assembly.worker.stages.medians_ms(),
            mqtt=self._publisher.health(),
            memory_mb=resident_mb(),
            configuration=ConfigurationHealth(
                loaded_at=iso(self._assembly.loaded_at), error=self._reload_error, hash=self._assembly.config_hash
            ),
            invalid=self._assembly.networks.invalid,
            version=__version__,
            bundle=self._assembly.bundle,
            machine=machine,
            last_error=self._trouble.latest,
            spool=self._outbox.spool_health(),
            commands=self._control.health(),
            problems=problems,
            inference=self._building.health(
                self._assembly.networks, self._assembly.accelerated, tuning_health(self._assembly.tuned)
            ),
            hold=self._holding.health(),
        )
        self._accept([body])
        self._metrics.use(None if stopping else self._assembly.config.metrics.address)
        assert isinstance(body.message, HealthMessage)
        self._metrics.offer(msgspec.structs.replace(body.message, node=self._assembly.node))

    def _standings(self) -> object:
        """What `health` must not tell a minute late: first of all that the broker is reached and the cameras run."""
        states = {camera: look.status for camera, look in self._assembly.looks().items()}
        return self._wrong(), self._publisher.connection.state, states

    def _wrong(self) -> list[Problem]:
        return self._problems.see(
            time.monotonic(),
            looks=self._assembly.looks(),
            outbox=self._outbox,
            invalid=self._assembly.networks.invalid,
            error=self._reload_error,
            throttled=self._throttled,
            degraded=self._holding.problem,
        )

    def _broker_error(self) -> BrokerError:
        """Say why a finite run has failed at the broker: what it was for has not arrived."""
        counters, connection = self._outbox.counters(), self._publisher.connection
        undelivered = f", {counters.queued} messages were not delivered" if counters.queued else ""
        if counters.rejected_visits:
            what = f"broker {connection.broker} refused {counters.rejected_visits} messages on visits{undelivered}"
            return BrokerError(what, fix=CHECK_RIGHTS)
        return connection.error(undelivered)

    def _clear(self, camera: str) -> None:
        """Let the broker forget what it keeps of a camera that is gone."""
        self._outbox.clear("state", f"{camera}/state")
        self._outbox.clear("summary", f"{camera}/summary")

    def _new_publisher(self, assembly: Assembly, outbox: Outbox, ledger: Ledger) -> Publisher:
        return Publisher(
            assembly.config.mqtt,
            node=assembly.node,
            outbox=outbox,
            password=assembly.password,
            ledger=ledger,
            announcer=self._announcer,
            commands=assembly.config.commands.enabled,
        )

    def _new_outbox(self, assembly: Assembly) -> Outbox:
        """An outbox counts from 0, so it has a boot id of its own."""
        boot, node = secrets.token_hex(4), assembly.node
        spool = None
        if spooled(assembly.config):
            spool = Spool(self._state_folder, node=node, boot=boot, machine=boot_id())
        return Outbox(node=node, boot=boot, capacity=capacity(assembly.config), spool=spool)

    def _open(self, outbox: Outbox, assembly: Assembly) -> None:
        if assembly.config.privacy.least_count is not None:
            forget(self._state_folder, outbox.node)
        outbox.open()

    def _new_ledger(self, outbox: Outbox) -> Ledger:
        return Ledger(self._state_folder, node=outbox.node, boot=outbox.boot)
