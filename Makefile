# Everything the course can do from a shell. Every target first makes .venv ready (a no-op when nothing changed).
#   PYTHON=python3.12   the Python to set up with         CH=3          one chapter
#   DEVICE=cuda         cpu, cuda, mps                    NEWEST=1      the newest releases, not the pinned ones

PYTHON ?= python3
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PY := $(BIN)/python

# The saved outputs are those of a CPU: there they are compared to the letter. On another device the checks
# inside the cells, which allow for rounding, must pass (nbval-lax).
NBVAL := $(if $(filter-out cpu,$(DEVICE)),--nbval-lax,--nbval)
CHAPTER := $(if $(CH),--chapter $(CH))

# A backend chosen in the shell would open windows, or change what a figure's cell prints.
unexport MPLBACKEND
# Idle threads sleep instead of spinning: several kernels at once on few cores would slow each other tenfold.
export OMP_WAIT_POLICY := passive

.PHONY: help setup run test lab notebooks index kernels screenshots bench pins clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 18

setup:
	@$(PYTHON) tools/bootstrap.py $(if $(NEWEST),--newest)

run: setup  ## run every notebook into build/ (CH=3: one chapter; DEVICE=cuda: there)
	@$(if $(DEVICE),COURSE_DEVICE=$(DEVICE)) $(PY) tools/run.py $(CHAPTER)

test: setup  ## compare every saved output with a fresh run, and test utils/, tools/ and the notebooks' form
	@COURSE_DEVICE=$(or $(DEVICE),cpu) $(PY) -m pytest $(NBVAL)

lab: setup  ## open JupyterLab on the contents page
	@$(PY) -m jupyter lab --ip=127.0.0.1 --allow-root --notebook-dir=. \
		--LabApp.default_url=/lab/tree/notebooks/README.md \
		--LabApp.app_settings_dir=tools/jupyterlab

notebooks: setup  ## run the notebooks and save them in place, clean (CH=3: one chapter)
	@COURSE_DEVICE=cpu $(PY) tools/run.py --save $(CHAPTER)

index: setup  ## write notebooks/API_INDEX.md anew from the notebooks
	@$(PY) tools/api_index.py

kernels: setup  ## train data/first_layer.pt anew (chapter 22; one or two minutes)
	@$(PY) tools/train_first_layer.py

screenshots: setup  ## draw notebooks/week5/images/ anew: TensorBoard's page (needs a Chromium)
	@$(PY) tools/screenshots.py

# Without a network the extra cannot be installed; then that one bench says so, and the others run.
bench: setup  ## measure speed and memory
	-@$(PY) -m uv pip install --quiet --requirement pyproject.toml --extra bench
	@COURSE_DEVICE=$(or $(DEVICE),cpu) $(PY) tools/bench.py

pins: setup  ## write requirements.txt anew from pyproject.toml
	@$(PY) -m uv pip compile --upgrade --universal --python-version 3.11 --no-annotate --no-header --quiet \
		pyproject.toml --output-file requirements.txt

clean:  ## remove .venv, build/ and the caches
	rm -rf .venv build .pytest_cache .ruff_cache *.egg-info
	find notebooks utils tools tests -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf
