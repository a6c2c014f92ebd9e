"""A bicubic B-spline height z = S(x, y) on a rectangle, and its penalised fit to scattered heights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.interpolate import BSpline, NdBSpline
from scipy.linalg import solveh_banded

from psi_cad.errors import SeatError
from psi_cad.units import Array, Bools, Ints, Mm

__all__ = ["DEGREE", "Fitting", "HeightSpline", "Stations", "Stiffness", "fit", "refined", "uniform_knots"]

DEGREE = 3


def uniform_knots(low: Mm, high: Mm, spacing: Mm) -> Array:
    """A clamped knot vector on [low, high] with intervals of at most `spacing`."""
    count = max(int(np.ceil((high - low) / spacing)), 2)
    return np.concatenate([[low] * DEGREE, np.linspace(low, high, count + 1), [high] * DEGREE])


@dataclass(frozen=True)
class HeightSpline:
    """z = S(x, y): clamped cubic knots `x_knots`, `y_knots` (mm) and `poles` (nx, ny) (mm)."""

    x_knots: Array
    y_knots: Array
    poles: Array

    @cached_property
    def x_greville(self) -> Array:
        """Abscissae (nx,) at which a spline with these as poles is the identity: they make the graph exact."""
        return _greville(self.x_knots)

    @cached_property
    def y_greville(self) -> Array:
        """Abscissae (ny,) in y; see `x_greville`."""
        return _greville(self.y_knots)

    @property
    def bounds(self) -> tuple[Mm, Mm, Mm, Mm]:
        """X low, y low, x high, y high."""
        return float(self.x_knots[0]), float(self.y_knots[0]), float(self.x_knots[-1]), float(self.y_knots[-1])

    @cached_property
    def _corners(self) -> tuple[Array, Array]:
        x_low, y_low, x_high, y_high = self.bounds
        return np.array([x_low, y_low]), np.array([x_high, y_high])

    def __call__(self, points: Array) -> Array:
        """Heights (n,) at `points` (n, 2); outside the rectangle the value at the nearest border."""
        return self._values(points, (0, 0))[0]

    def gradient(self, points: Array) -> Array:
        """(dS/dx, dS/dy) (n, 2) at `points` (n, 2)."""
        return np.column_stack(self._values(points, (1, 0), (0, 1)))

    def raised(self, depth: Mm) -> HeightSpline:
        """The sheet `depth` higher along its normal, to first order."""
        grid = np.stack(np.meshgrid(self.x_greville, self.y_greville, indexing="ij"), axis=-1).reshape(-1, 2)
        return HeightSpline(self.x_knots, self.y_knots, self.poles + depth * self.steepness(grid).reshape(self.poles.shape))

    def _values(self, points: Array, *orders: tuple[int, int]) -> list[Array]:
        """The derivatives (n,) of these orders, in x and in y."""
        low, high = self._corners
        inside = np.minimum(np.maximum(points[:, :2], low), high)
        if _grid_of(inside) is None:
            return [np.asarray(self._scattered(inside, nu=order)) for order in orders]
        places = _Places(inside, self.x_knots, self.y_knots)
        return [places.values(self.poles, *order) for order in orders]

    @cached_property
    def _scattered(self) -> NdBSpline:
        """The same, as it is evaluated quickest at scattered points: a side of a guide asks for a few at a time, thousands of times."""
        return NdBSpline((self.x_knots, self.y_knots), self.poles, DEGREE)

    def steepness(self, points: Array) -> Array:
        """Length (n,) of the upward normal (-Sx, -Sy, 1): what a normal offset of 1 adds in height, to first order."""
        return np.asarray(np.sqrt(1.0 + (self.gradient(points) ** 2).sum(axis=1)))


class _Places:
    """Points (n, 2) within the knots' rectangle, and how splines with these knots are evaluated there: quickest on a whole grid."""

    def __init__(self, points: Array, x_knots: Array, y_knots: Array) -> None:
        grid = _grid_of(points)
        self._gridded = grid is not None
        self._at = (points[:, 0], points[:, 1]) if grid is None else grid
        self._knots = (x_knots, y_knots)
        self._bands: dict[tuple[int, int], Any] = {}

    def values(self, poles: Array, x_order: int, y_order: int) -> Array:
        """The derivative (n,) of these orders, in x and in y."""
        if self._gridded:
            dense_x, dense_y = self._dense(0, x_order), self._dense(1, y_order)
            return np.asarray(dense_x @ poles @ dense_y.T).ravel()
        (first_x, in_x), (first_y, in_y) = self._band(0, x_order), self._band(1, y_order)
        four = np.arange(DEGREE + 1)
        near = poles[(first_x[:, None] + four)[:, :, None], (first_y[:, None] + four)[:, None, :]]
        return np.asarray(np.einsum("ni,nij,nj->n", in_x, near, in_y))

    def _band(self, axis: int, order: int) -> tuple[Ints, Array]:
        if (axis, order) not in self._bands:
            self._bands[axis, order] = _band(self._knots[axis], self._at[axis], order)
        found: tuple[Ints, Array] = self._bands[axis, order]
        return found

    def _dense(self, axis: int, order: int) -> Array:
        if (axis, order) not in self._bands:
            first, values = _band(self._knots[axis], self._at[axis], order)
            dense = np.zeros((len(values), len(self._knots[axis]) - DEGREE - 1))
            np.put_along_axis(dense, first[:, None] + np.arange(DEGREE + 1), values, axis=1)
            self._bands[axis, order] = dense
        return np.asarray(self._bands[axis, order])


def _grid_of(points: Array) -> tuple[Array, Array] | None:
    """The x and the y whose grid `points` (n, 2) are, x by x; None where they are none."""
    column = int(np.argmax(points[:, 0] != points[0, 0])) if len(points) else 0
    if column < 2 or len(points) % column:
        return None
    grid = points.reshape(-1, column, 2)
    whole = (grid[:, :, 0] == grid[:, :1, 0]).all() and (grid[:, :, 1] == grid[:1, :, 1]).all()
    return (grid[:, 0, 0], grid[0, :, 1]) if whole else None


def _band(knots: Array, at: Array, order: int) -> tuple[Ints, Array]:
    """At each place the first basis function (n,) that is not zero, and the values (n, DEGREE + 1) of it and the next ones, or their slopes."""
    rows = BSpline.design_matrix(at, knots[order:-order] if order else knots, DEGREE - order)
    width = DEGREE + 1 - order
    first, values = rows.indices.reshape(-1, width)[:, 0].astype(np.intp), rows.data.reshape(-1, width)
    if order == 0:
        return first, values
    if order > 1:
        raise ValueError("only values and slopes are evaluated in bands")
    # the slope's poles are differences of poles over knot spans
    factor = DEGREE / (knots[DEGREE + 1 : -1] - knots[1 : -DEGREE - 1])
    weighted = factor[first[:, None] + np.arange(width)] * values
    return first, np.pad(weighted, ((0, 0), (1, 0))) - np.pad(weighted, ((0, 0), (0, 1)))


def _greville(knots: Array) -> Array:
    return np.asarray(np.stack([knots[i : len(knots) - DEGREE - 1 + i] for i in range(1, DEGREE + 1)]).mean(axis=0))


def _rows(knots: Array, at: Array, order: int) -> sp.csr_array:
    """Values (len(at), basis functions) of the `order`-th derivative of each basis function."""
    degree, current = DEGREE, knots
    transfer = sp.eye_array(len(knots) - DEGREE - 1, format="csr")
    for _ in range(order):  # derivative poles are differences of poles over knot spans
        spans = current[degree + 1 : -1] - current[1 : -degree - 1]
        count = len(spans)
        factor = degree / spans
        difference = sp.diags_array([-factor, factor], offsets=[0, 1], shape=(count, count + 1), format="csr")
        transfer = difference @ transfer
        current, degree = current[1:-1], degree - 1
    return sp.csr_array(BSpline.design_matrix(at, current, degree) @ transfer)


def _gram(knots: Array, order: int) -> sp.csr_array:
    """∫ B_i^(order) B_j^(order) over the knot range, by Gauss points on each interval (exact for these degrees)."""
    return _gram_of(knots.tobytes(), order)


@lru_cache(maxsize=64)
def _gram_of(held: bytes, order: int) -> sp.csr_array:
    """The same for knots as bytes: many fits in a row have the same ones. Nobody may change it."""
    knots = np.frombuffer(held)
    nodes, weights = np.polynomial.legendre.leggauss(DEGREE + 1)
    breaks = np.unique(knots)
    half = np.diff(breaks) / 2.0
    at = (breaks[:-1] + half)[:, None] + half[:, None] * nodes[None, :]
    rows = _rows(knots, at.ravel(), order)
    return sp.csr_array(rows.T @ sp.diags_array((half[:, None] * weights[None, :]).ravel()) @ rows)


def _row_products(x: tuple[Ints, Array], y: tuple[Ints, Array], shape: tuple[int, int]) -> sp.csr_array:
    """Values (n, poles) of the products of basis functions, from their bands; `shape`: how many poles there are in x and in y."""
    (first_x, in_x), (first_y, in_y) = x, y
    n, four = len(first_x), np.arange(DEGREE + 1)
    columns = ((first_x[:, None] + four)[:, :, None] * shape[1] + (first_y[:, None] + four)[:, None, :]).reshape(n, -1)
    values = (in_x[:, :, None] * in_y[:, None, :]).reshape(n, -1)
    starts = np.arange(0, values.size + 1, values.shape[1])
    return sp.csr_array((values.ravel(), columns.ravel(), starts), shape=(n, shape[0] * shape[1]))


def _poles(x_knots: Array, y_knots: Array) -> tuple[int, int]:
    return len(x_knots) - DEGREE - 1, len(y_knots) - DEGREE - 1


class _Bands:
    """Symmetric matrices over poles as LAPACK's upper bands: a pole meets only those near it, so the longer way is counted outside."""

    def __init__(self, poles: tuple[int, int]) -> None:
        nx, ny = poles
        order = np.arange(nx * ny).reshape(poles)
        self.order: Ints = (order if nx >= ny else order.T).ravel()  # of the poles in the bands
        self._place = np.argsort(self.order)
        self.width = DEGREE * (min(nx, ny) + 1)

    def of(self, matrix: sp.csr_array) -> Array:
        """The bands (width + 1, poles) of a matrix."""
        entries = sp.coo_array(matrix)
        row, column = self._place[entries.row], self._place[entries.col]
        upper = row <= column
        bands = np.zeros((self.width + 1, len(self._place)), order="F")
        bands[self.width + row[upper] - column[upper], column[upper]] = entries.data[upper]
        return bands


@dataclass(frozen=True)
class Stiffness:
    """What a fit is held by beside its points: terms of the normal equations that depend on knots alone, made once for many fits."""

    x_knots: Array
    y_knots: Array
    cell_area: float
    terms: tuple[sp.csr_array, ...]

    @classmethod
    def of(
        cls, x_knots: Array, y_knots: Array, *, cell_area: float, smoothing: float, flatten_at: Array | None = None, flattening: float = 0.0
    ) -> Stiffness:
        """The terms for `fit`, whose parameters these are."""
        value_x, value_y = _gram(x_knots, 0), _gram(y_knots, 0)
        slope_x, slope_y = _gram(x_knots, 1), _gram(y_knots, 1)
        bend_x, bend_y = _gram(x_knots, 2), _gram(y_knots, 2)
        bending = sp.kron(bend_x, value_y) + 2.0 * sp.kron(slope_x, slope_y) + sp.kron(value_x, bend_y)
        terms = [sp.csr_array(smoothing * bending)]
        if flatten_at is not None and len(flatten_at) and flattening > 0.0:
            for order_x, order_y in ((1, 0), (0, 1)):
                bands = _band(x_knots, flatten_at[:, 0], order_x), _band(y_knots, flatten_at[:, 1], order_y)
                slope = _row_products(*bands, _poles(x_knots, y_knots))
                terms.append(sp.csr_array(flattening * cell_area * (slope.T @ slope)))
        return cls(x_knots, y_knots, cell_area, tuple(terms))

    def over(self, design: sp.csr_array) -> Fitting:
        """Fits to points with this `design`, one after the other."""
        return Fitting(self, design)


class Fitting:
    """Fits to the same points, of other heights and weights each time; what the weights left alone is not summed again."""

    def __init__(self, held: Stiffness, design: sp.csr_array) -> None:
        self._held, self._design = held, design
        self._poles = _poles(held.x_knots, held.y_knots)
        self._bands = _Bands(self._poles)
        self._weights = np.zeros(design.shape[0])
        self._matrix = self._bands.of(sp.csr_array(sum(held.terms[1:], held.terms[0])))

    def fit(self, heights: Array, *, weights: Array) -> HeightSpline:
        """The spline for heights (n,) and weights (n,); a point of no weight counts for nothing, whatever its height. See `fit`.

        Raises
        ------
        SeatError
            Where the points leave the spline undetermined.
        """
        changed = np.flatnonzero(weights != self._weights)
        rows, more = self._design[changed], (weights - self._weights)[changed] * self._held.cell_area
        self._matrix = self._matrix + self._bands.of(sp.csr_array(rows.T @ (sp.diags_array(more) @ rows)))
        self._weights = weights.copy()
        wanted = self._design.T @ np.where(weights > 0.0, weights * self._held.cell_area * heights, 0.0)
        poles = np.empty(len(wanted))
        try:
            poles[self._bands.order] = solveh_banded(self._matrix, wanted[self._bands.order], check_finite=False)
        except np.linalg.LinAlgError:
            raise SeatError("The bone that was met is too narrow to fit a surface to; give another approach or a wider region.") from None
        return HeightSpline(x_knots=self._held.x_knots, y_knots=self._held.y_knots, poles=poles.reshape(self._poles))


def designed(points: Array, x_knots: Array, y_knots: Array) -> sp.csr_array:
    """What each pole adds at `points` (n, 2), which lie within the knots' rectangle: (n, poles)."""
    return _row_products(_band(x_knots, points[:, 0], 0), _band(y_knots, points[:, 1], 0), _poles(x_knots, y_knots))


def fit(
    points: Array,
    heights: Array,
    *,
    weights: Array,
    x_knots: Array,
    y_knots: Array,
    cell_area: float,
    smoothing: float = 0.02,
    flatten_at: Array | None = None,
    flattening: float = 0.0,
) -> HeightSpline:
    """The spline that least-squares fits `heights` (n,) at `points` (n, 2), with little bending.

    Minimises  cell_area · Σ wᵢ (S(xᵢ) - zᵢ)²  +  smoothing · ∫|D²S|²  +  flattening · cell_area · Σ |∇S(yⱼ)|².

    Parameters
    ----------
    weights : (n,)
        Per point, 0 to 1.
    cell_area : float
        mm² that one point stands for, so that the result does not depend on how densely bone was sampled.
    smoothing : float
        mm²; its fourth root is the length (mm) below which detail is smoothed.
    flatten_at : (m, 2), optional
        Where no bone is seen: the slope decays over a length of √(smoothing / flattening).
    """
    held = Stiffness.of(x_knots, y_knots, cell_area=cell_area, smoothing=smoothing, flatten_at=flatten_at, flattening=flattening)
    return held.over(designed(points, x_knots, y_knots)).fit(heights, weights=weights)


class Stations:
    """Points in groups (n, 2) each, at which many splines with the same knots are looked at; they lie within the knots' rectangle."""

    def __init__(self, *groups: Array, x_knots: Array, y_knots: Array) -> None:
        self._groups = [_Places(points, x_knots, y_knots) for points in groups if len(points)]
        self.design = designed(np.vstack(groups), x_knots, y_knots)

    def values(self, spline: HeightSpline) -> Array:
        """Heights of the spline there, group after group."""
        return self._of(spline, 0, 0)

    def steepness(self, spline: HeightSpline) -> Array:
        """`HeightSpline.steepness` there."""
        return np.asarray(np.sqrt(1.0 + self._of(spline, 1, 0) ** 2 + self._of(spline, 0, 1) ** 2))

    def _of(self, spline: HeightSpline, x_order: int, y_order: int) -> Array:
        return np.concatenate([group.values(spline.poles, x_order, y_order) for group in self._groups])


def refined(knots: Array, at: Array, *, least: Mm) -> Array:
    """`knots` with every interval that contains a value of `at` halved, as long as its halves stay >= `least`."""
    breaks = np.unique(knots)
    hit = np.unique(np.clip(np.searchsorted(breaks, at, side="right") - 1, 0, len(breaks) - 2))
    middles = [(breaks[i] + breaks[i + 1]) / 2.0 for i in hit if breaks[i + 1] - breaks[i] >= 2.0 * least - 1e-9]
    return np.sort(np.concatenate([knots, middles]))


def inside(spline: HeightSpline, points: Array) -> Bools:
    """Which `points` (n, 2) lie on the spline's rectangle."""
    x_low, y_low, x_high, y_high = spline.bounds
    return np.asarray((points[:, 0] >= x_low) & (points[:, 0] <= x_high) & (points[:, 1] >= y_low) & (points[:, 1] <= y_high))
