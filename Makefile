# Aliases of the commands of dev.py.
COMMANDS := install run test check proto bench bench-quick chaos docs deploy-check

.PHONY: help $(COMMANDS)

help:
	@python3 dev.py help

$(COMMANDS):
	@python3 dev.py $@
