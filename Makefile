# The commands of this repository. Each sets up what it needs; see scripts/setup.sh.
.DEFAULT_GOAL := help
.PHONY: help demo test localstack chaos hostile bench fuzz terraform lint sqlx

help: ## This list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: ## Build, start the platform, run the demo DAG on real data, print its results
	@scripts/setup.sh run
	SQLX_OFFLINE=true cargo build --workspace --exclude trace-hostile --locked
	@scripts/demo.sh

test: ## Every test, with the real parts that they need
	@scripts/setup.sh test
	@scripts/test.sh

localstack: ## The adapters for AWS against LocalStack and moto, which are set up, started and ended; see docs/aws.md
	@scripts/setup.sh run
	@scripts/localstack.sh $(if $(ONLY),$(ONLY))

chaos: ## Break whole platforms as seeds say (SEEDS=0..100 TASKS=2000), and check them; see docs/chaos.md
	@scripts/setup.sh run
	@SEEDS=$(SEEDS) TASKS=$(TASKS) LAUNCHER=$(LAUNCHER) scripts/chaos.sh

hostile: ## Attack a platform in every known way (ONLY=vector), and check that each is denied; see docs/hostile.md
	@scripts/setup.sh run
	@scripts/hostile.sh $(if $(ONLY),--only $(ONLY))

bench: ## Measure in release, one JSON line a benchmark (B=name runs one); see docs/benchmarks.md
	@TRACE_BENCH_TOOLS=$$(scripts/setup.sh bench) && export TRACE_BENCH_TOOLS && scripts/bench.sh $(B)

fuzz: ## Fuzz what reads untrusted input (SECONDS_EACH=20 T=target SQL=1); see docs/fuzzing.md
	@scripts/setup.sh fuzz
	@SECONDS_EACH=$(SECONDS_EACH) T=$(T) SQL=$(SQL) scripts/fuzz.sh

terraform: ## Apply every environment to an emulated AWS (ONLY=dev), and check it; see docs/terraform.md
	@scripts/terraform.sh $(if $(ONLY),--only $(ONLY))

lint: ## Formatting, clippy, licences and sources
	@scripts/setup.sh lint
	@scripts/lint.sh

sqlx: ## Check every SQL statement against a database and write .sqlx anew
	@scripts/setup.sh run
	@scripts/sqlx.sh
