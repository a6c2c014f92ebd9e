# bare `just`: test, lint, types, as CI does
default: test lint types

test:
    .venv/bin/pytest

lint:
    .venv/bin/ruff check .
    .venv/bin/ruff format --check .

types:
    .venv/bin/mypy

# write formatting and safe fixes
tidy:
    .venv/bin/ruff check --fix .
    .venv/bin/ruff format .

demo:
    .venv/bin/psi-cad demo

# time and memory, beside a mesh-Boolean guide made with the same libraries
bench:
    .venv/bin/python bench/run.py

# the phantom's surfaces that the example cases lie on
phantom:
    .venv/bin/python -c "from pathlib import Path; from psi_cad.phantom.demo import write_phantom; write_phantom(Path('cases/phantom'))"

# the drawing of docs/terms.md, from a guide built now
terms:
    .venv/bin/psi-cad build cases/phantom-type1 -o build-terms
    .venv/bin/python docs/draw_terms.py build-terms/phantom-type1
