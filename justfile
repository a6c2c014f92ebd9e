# bare `just`: quick tests, lint, types; CI runs the slow tests, too
default: test lint types

test:
    .venv/bin/pytest

# what takes long: real bones, whole builds in every corner, the demo
slow:
    .venv/bin/pytest -m slow

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

# time and memory, beside what else a user would take; growth and batches take hours, and the tables of docs/speed.md are made of them
bench:
    .venv/bin/python bench/run.py
    .venv/bin/python bench/warm.py --keep
    .venv/bin/python bench/growth.py --keep
    .venv/bin/python bench/peers.py --keep
    .venv/bin/python bench/batch.py --jobs 100 --keep
    .venv/bin/python bench/draw.py

# the phantom's surfaces that the example cases lie on
phantom:
    .venv/bin/python -c "from pathlib import Path; from psi_cad.phantom.demo import write_phantom; write_phantom(Path('cases/phantom'))"

# the JSON schemas of the reports, from the models in psi_cad/records/
schema:
    .venv/bin/python docs/write_schema.py

# docs/gallery.md, from what the templates declare
gallery:
    .venv/bin/python docs/write_gallery.py

# the drawing of docs/terms.md, from a guide built now
terms:
    .venv/bin/psi-cad build cases/phantom-type1 -o build-terms
    .venv/bin/python docs/draw_terms.py build-terms/phantom-type1

# the pictures of the README and docs/, from the phantom as it is built, planned and segmented now; look at each before you commit it
pictures:
    rm -rf build-pictures
    .venv/bin/psi-cad build cases/phantom-type1 -o build-pictures
    .venv/bin/psi-cad build cases/phantom-two-cut -o build-pictures
    .venv/bin/psi-cad build cases/phantom-drill -o build-pictures
    .venv/bin/psi-cad build cases/phantom-acetabular -o build-pictures
    .venv/bin/psi-cad build cases/phantom-model -o build-pictures
    .venv/bin/psi-cad build cases/phantom-spacer -o build-pictures
    .venv/bin/psi-cad coupon -o build-pictures/coupon
    .venv/bin/psi-cad build cases/phantom-allograft -o build-pictures
    # a plane too near to the tumour, so that the picture shows the wanted margin: the plan fails
    -.venv/bin/psi-cad plan cases/phantom-type1 -o build-pictures/near --set "cut.A.origin=[-96,-8,66]" --set "cut.A.normal=[0,0.3,1]"
    .venv/bin/psi-cad phantom -o build-pictures/scans
    .venv/bin/psi-cad segment build-pictures/scans/ct -o build-pictures/bones --bone hip=-82,24,-10 --bone femur=-103,-7,-6 --bone sacrum=-40,74,60
    .venv/bin/python docs/draw_pictures.py build-pictures
