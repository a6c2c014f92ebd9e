"""What one saw guide has beyond fences, footplates and sleeves."""

from __future__ import annotations

from dataclasses import dataclass

from psi_cad.options.flap import Flap
from psi_cad.options.grip import Grip
from psi_cad.options.insert import Insert
from psi_cad.options.opening import Opening
from psi_cad.options.relief import Relief
from psi_cad.options.standing import Standing
from psi_cad.options.stop import Stop
from psi_cad.options.window import Window
from psi_cad.units import Array, Mm
from psi_cad.verify.features.feature import Feature

__all__ = ["Extras"]


@dataclass(frozen=True)
class Extras:
    """What a guide has beyond fences, footplates and sleeves."""

    flap: Flap | None
    windows: tuple[Window, ...]
    stops: tuple[Stop, ...]
    grip: Grip | None = None
    openings: tuple[Opening, ...] = ()
    standing: Standing | None = None
    relief: Relief | None = None
    inserts: tuple[Insert, ...] = ()

    def stop(self, cut: str) -> tuple[Array, Array] | None:
        """Where the top of a fence lies because a saw stops on it: s and u."""
        return next((one.curve() for one in self.stops if one.name == cut), None)

    @property
    def features(self) -> tuple[Feature, ...]:
        """As they are measured."""
        alone = (one for one in (self.flap, self.grip) if one is not None)
        wide = (one for one in (self.standing, self.relief) if one is not None)
        return (*alone, *self.windows, *self.stops, *self.openings, *wide, *self.inserts)

    def over(self) -> list[tuple[Mm, Mm]]:
        """Points (x, y) that no tag may hang over."""
        alone = (one for one in (self.flap, self.grip) if one is not None)
        return [point for one in (*alone, *self.windows) for point in one.over()]
