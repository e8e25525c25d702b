"""Where an object is expected next: a Kalman filter of constant velocity for its centre.

Between measurements the velocity changes by white noise of density `q`; its covariance over `dt`
seconds is the discretised one of Bar-Shalom, Li and Kirubarajan (2001), section 6.2.2. x and y are
filtered apart, so every matrix is 2 x 2 and written out. Positions are px, times s. All spreads
scale with the object, as in SORT and its successors: a nearby object moves by more px.
"""

from __future__ import annotations

from dataclasses import dataclass

_MEASURED = 0.05  # standard deviation of a measured centre, in sizes of the object
_UNKNOWN = 1.0  # of the velocity of a new object, sizes per s
_WHOLE = 0.85  # a shown length below this share of the object's is only a part of it
_SHRINKS = 3.0  # s in which an object takes on a smaller length
_UNSTEADY = 1.0  # density of the noise: how much the velocity drifts within 1 s, sizes per s


@dataclass(slots=True)
class Axis:
    """Position of the centre and velocity along one axis, with their variances `pp`, `vv` and
    covariance `pv`; `length` is that of the whole object, of which a part may be hidden."""

    position: float
    velocity: float
    pp: float
    pv: float
    vv: float
    length: float

    @staticmethod
    def begun(low: float, high: float, size: float) -> Axis:
        """At rest, as far as one frame shows; `low` and `high` are its edges."""
        middle, length = (low + high) / 2, high - low
        return Axis(middle, 0.0, (_MEASURED * size) ** 2, 0.0, (_UNKNOWN * size) ** 2, length)

    def expected(self, dt: float) -> float:
        """The position `dt` seconds after the last measurement."""
        return self.position + self.velocity * dt

    def see(self, low: float, high: float, dt: float, size: float) -> None:
        """Its edges `dt` seconds after the last frame that showed it.

        What is shorter than the object is hidden at one end, or cut by the image: then the edge
        that is nearer to where it is expected says where the centre is.
        """
        shown, middle = high - low, (low + high) / 2
        self.length += (shown - self.length) * (
            1 if shown > self.length else min(1.0, dt / _SHRINKS)
        )
        if shown < _WHOLE * self.length:
            half, centre = self.length / 2, self.expected(dt)
            is_low = abs(low - centre + half) <= abs(high - centre - half)
            middle = low + half if is_low else high - half
        self._measure(middle, dt, size)

    def _measure(self, measured: float, dt: float, size: float) -> None:
        """Predict over `dt` seconds, then correct by a measured position."""
        q = (_UNSTEADY * size) ** 2
        position = self.expected(dt)
        pp = self.pp + 2 * dt * self.pv + dt**2 * self.vv + q * dt**3 / 3
        pv = self.pv + dt * self.vv + q * dt**2 / 2
        vv = self.vv + q * dt
        total = pp + (_MEASURED * size) ** 2
        gain_p, gain_v = pp / total, pv / total
        self.position = position + gain_p * (measured - position)
        self.velocity += gain_v * (measured - position)
        self.pp, self.pv, self.vv = (1 - gain_p) * pp, (1 - gain_p) * pv, vv - gain_v * pv

    def rest(self) -> None:
        """The object has not moved since."""
        self.velocity, self.pv = 0.0, 0.0
