"""What was applied, as `terraform show -json` tells it: resources, their policies, and names for their ids."""

import copy
import json
import re
from dataclasses import dataclass, field


@dataclass
class Resource:
    """One resource: where it is in the code, and what it is."""

    address: str
    type: str
    values: dict

    def get(self, name, default=None):
        value = self.values.get(name)
        return default if value is None else value


@dataclass
class World:
    """An environment's resources."""

    environment: str
    resources: list = field(default_factory=list)

    @classmethod
    def of_state(cls, environment, state):
        return cls(environment, list(_walk(state.get("values", {}).get("root_module", {}))))

    @classmethod
    def of_plan(cls, environment, plan):
        return cls(environment, list(_walk(plan["planned_values"]["root_module"])))

    @property
    def prefix(self):
        return f"trace-{self.environment}"

    def copy(self):
        return copy.deepcopy(self)

    def of(self, *types):
        return [resource for resource in self.resources if resource.type in types]

    def one(self, type_, **wanted):
        """The only resource of a type whose values are as wanted."""
        found = [r for r in self.of(type_) if all(r.values.get(k) == v for k, v in wanted.items())]
        assert len(found) == 1, f"{len(found)} of {type_} with {wanted}"
        return found[0]

    def group_names(self):
        """Security groups' names without the prefix, by id."""
        groups = {group.values["id"]: group.values["name"].removeprefix(f"{self.prefix}-") for group in self.of("aws_security_group")}
        return groups | {group.values["id"]: "default" for group in self.of("aws_default_security_group")}

    def role_policies(self):
        """(role's name without the prefix, statements) of every role."""
        for policy in self.of("aws_iam_role_policy"):
            yield policy.values["role"].removeprefix(f"{self.prefix}-"), statements(policy.values["policy"])


def statements(document):
    """A policy's statements, with lists where one may write a single value."""
    listed = json.loads(document)["Statement"]
    result = []
    for statement in listed if isinstance(listed, list) else [listed]:
        statement = dict(statement)
        for name in ("Action", "NotAction", "Resource", "NotResource"):
            if name in statement:
                statement[name] = as_list(statement[name])
        result.append(statement)
    return result


def as_list(value):
    return value if isinstance(value, list) else [value]


def index_of(address):
    """`module.x.aws_y.z["key"]` → `key`."""
    found = re.search(r'\["?([^"\]]+)"?\]$', address)
    return found.group(1) if found else None


def _walk(module):
    for resource in module.get("resources", []):
        if resource["mode"] == "managed":
            yield Resource(resource["address"], resource["type"], resource.get("values", {}))
    for child in module.get("child_modules", []):
        yield from _walk(child)
