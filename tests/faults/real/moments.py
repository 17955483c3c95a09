"""The moments at which the real sample kills, and which victims make sense at each. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

from tests.faults.cells import Cell, Victim
from tests.faults.real.observations import LAB, SIMULATED, LabObservation, Observation, SimulatedObservation

SIMULATED_HOSTS, PROCESSES = "simulated", "processes"
_V = Victim


class Moment(StrEnum):
    REQUESTED = "before the intent is committed"
    CALLED = "during the call to the host"
    HALFWAY = "half done"
    ANSWERED = "done and the answer in transit"
    ENDING = "before the end is committed"


SIMULATED_VICTIMS: Mapping[Moment, tuple[Victim, ...]] = {
    Moment.REQUESTED: (_V.REGION, _V.CONNECTION, _V.DATABASE),
    Moment.CALLED: (_V.REGION, _V.RACK, _V.LINK, _V.HOST, _V.DATABASE),
    Moment.HALFWAY: (_V.REGION, _V.RACK, _V.LINK, _V.HOST, _V.DATABASE),
    Moment.ANSWERED: (_V.ANSWER, _V.RACK, _V.REGION),
    Moment.ENDING: (_V.REGION, _V.RACK, _V.CONNECTION, _V.DATABASE),
}
LAB_VICTIMS: Mapping[Moment, tuple[Victim, ...]] = {
    Moment.CALLED: (_V.REGION, _V.RACK, _V.LINK, _V.HOST, _V.DATABASE),
    Moment.HALFWAY: (_V.RACK, _V.HOST),
    Moment.ANSWERED: (_V.ANSWER, _V.HOST),
}
JOIN_VICTIMS: Mapping[Moment, tuple[Victim, ...]] = {
    Moment.REQUESTED: (_V.REGION, _V.RACK, _V.LINK, _V.CONNECTION, _V.DATABASE),
    Moment.ANSWERED: (_V.ANSWER, _V.RACK, _V.REGION),
}


def simulated_cells() -> Iterator[tuple[Cell, SimulatedObservation, Moment]]:
    for name, observation in SIMULATED.items():
        for moment, victims in SIMULATED_VICTIMS.items():
            for victim in victims:
                if _is_possible(observation, moment, victim):
                    yield _cell(name, moment, SIMULATED_HOSTS, victim), observation, moment


def lab_cells(platform: str) -> Iterator[tuple[Cell, LabObservation, Moment]]:
    for name, observation in LAB.items():
        for moment, victims in LAB_VICTIMS.items():
            if platform in observation.platforms and _is_shown(observation, moment):
                for victim in victims:
                    yield _cell(name, moment, platform, victim), observation, moment


def join_cells() -> Iterator[tuple[Cell, Moment]]:
    for moment, victims in JOIN_VICTIMS.items():
        for victim in victims:
            yield _cell("join_rack", moment, PROCESSES, victim), moment


def _cell(kind: str, moment: Moment, platform: str, victim: Victim) -> Cell:
    return Cell(kind=kind, point=f"{moment} ({platform})", victim=victim)


def _is_possible(observation: SimulatedObservation, moment: Moment, victim: Victim) -> bool:
    """A request that only reads the host has no moment between acting and answering."""
    if moment is Moment.REQUESTED:
        return True
    if observation.call is None or (moment is Moment.HALFWAY and observation.halfway_call is None):
        return False
    return observation.changes_host or (moment is not Moment.ANSWERED and victim is not Victim.HOST)


def _is_shown(observation: Observation, moment: Moment) -> bool:
    shown = {Moment.HALFWAY: observation.halfway, Moment.ANSWERED: observation.acted}
    return moment is Moment.CALLED or shown[moment] is not None
