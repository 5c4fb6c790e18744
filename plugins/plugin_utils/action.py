# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What all our action plugins begin and end with: their arguments, and how an expected failure is told.

class ActionModule(SteelyardAction):
    ARGUMENTS = ARGUMENT_SPEC
    def _answer(self, args, variables):
        ...  # may raise SteelyardError
        return {"changed": False}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from ansible_collections.steelyard.stack.plugins.plugin_utils.fleet import plain


def failure(error: SteelyardError) -> dict[str, Any]:
    """Return the result of a task that failed with an expected error."""
    return {"failed": True, "msg": str(error), **error.details}


class ExpectedFailure(AnsibleActionFail):
    """A failure that says itself what is wrong: Ansible tells it once, and shows no place in the playbook beside it."""

    @property
    def omit_exception_key(self) -> bool:
        """Whether Ansible leaves its own account of the error out; its default is to print message and origin first."""
        return True


class SteelyardAction(ActionBase):
    """Base of the action plugins; `_answer` does the work."""

    ARGUMENTS: ClassVar[Mapping[str, Any] | None] = None
    """What the task may say, where the action checks it; None hands its arguments over as they are."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the task's result; raises ExpectedFailure for one that failed and says why."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            result |= self._answer(self._arguments(), task_vars or {})
        except SteelyardError as error:
            result |= failure(error)
        # Ansible looks at `failed_when` and `until` only when a result is returned.
        judged = getattr(self._task, "failed_when", None) or getattr(self._task, "until", None)
        if result.get("failed") and "exit_code" in result and not judged:
            raise ExpectedFailure(str(result["msg"]), result=result)
        return result

    def call_module(self, name: str, arguments: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Call a module on the host and return what it says; its arguments are shown nowhere."""
        answer: dict[str, Any] = self._execute_module(
            module_name=name, module_args=dict(arguments), task_vars=variables
        )
        answer.pop("invocation", None)
        return answer

    def _answer(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Return what the result is to say beside Ansible's own keys; raises SteelyardError where it must fail."""
        raise NotImplementedError

    def _arguments(self) -> dict[str, Any]:
        """Return the task's arguments, with defaults and types where ARGUMENTS says them."""
        if self.ARGUMENTS is None:
            return dict(plain(self._task.args))
        checked: dict[str, Any] = self.validate_argument_spec(argument_spec=self.ARGUMENTS)[1]
        return checked
