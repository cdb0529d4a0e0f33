"""The operator that reports the result of a restore test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_pinecone.assets import add_restore_test_to_events
from airflow_pinecone.errors import RestoreTestFailed
from airflow_pinecone.operators.base import PineconeOperator
from airflow_pinecone.rules.restore_findings import line_of
from airflow_pinecone.rules.restore_test import (
    COUNTS_KEY,
    Plan,
    RestoreTestRules,
    build_record,
    failure,
    headline,
    record_for_xcom,
)
from airflow_pinecone.runtime.airflow_versions import task_states
from airflow_pinecone.runtime.failures import fail_without_retry

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

# The log names so many findings.
_LOGGED_FINDINGS = 50


class RestoreReportOperator(PineconeOperator):
    """Report the result of a restore test, and fail unless it has passed.

    It runs whatever happened to the other tasks of the test, and is skipped if they are.

    Args:
        results: The results of the checks (templated).
        task_ids: The ids of the tasks ``choose``, ``restore`` and ``settle``.
        rules: What the test requires.
        parameters: The parameters of the test, for the record.
        report_to: The folder for the record (templated); None writes no file.
        conn_id: The Airflow connection with the API key.
    """

    template_fields: Sequence[str] = ("results", "report_to")

    def __init__(
        self,
        *,
        results: Any,
        task_ids: Mapping[str, str],
        rules: RestoreTestRules,
        parameters: Mapping[str, Any],
        report_to: Any,
        conn_id: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        self.results = results
        self.task_ids = task_ids
        self.rules = rules
        self.parameters = parameters
        self.report_to = report_to

    def execute(self, context: Context) -> dict[str, Any]:
        """Report the result.

        Args:
            context: The context of the task.

        Returns:
            The record of the test. It is in XCom also if the test has not passed.

        Raises:
            AirflowFailException: The test has not passed; not retried.
            AirflowSkipException: The test was skipped.
            RestoreTestFailed: The record was not written to ``report_to``; a retry can succeed.
        """
        plan: Plan | None = self._pull(context, "choose")
        if plan is None and self._is_skipped(context):
            raise AirflowSkipException("The restore test was skipped.")
        earlier, why_no_earlier = self._earlier(context, plan)
        record = build_record(
            plan=plan,
            restore=self._pull(context, "restore"),
            counts=self._pull(context, "settle", COUNTS_KEY),
            parts=self._pull(context, "settle"),
            # A slice: at the end of an iteration, Airflow 3 logs that it did not find another XCom.
            results=[result for result in (self.results or ())[:] if result],
            rules=self.rules,
            earlier=earlier,
            why_no_earlier=why_no_earlier,
            who=self._who(context),
            parameters=self.parameters,
            now=self.clock.utcnow(),
        )
        self._log_result(record)
        has_passed = record["verdict"] == "passed"
        result = {**record_for_xcom(record), "file": None}
        # First: a task that fails returns nothing, and the folder may reject the file.
        context["ti"].xcom_push(key="return_value", value=result)
        try:
            result["file"] = self._write(plan, record)
        except Exception as error:  # A retry writes it.
            if has_passed:
                raise
            # The error must not hide the verdict.
            raise RestoreTestFailed(f"{headline(record)}\n{error}") from error
        with fail_without_retry():
            if not has_passed:
                context["ti"].xcom_push(key="return_value", value=result)
                raise failure(record)
        add_restore_test_to_events(context, self.outlets, record, self.log.warning)
        return result

    def _pull(self, context: Context, task: str, key: str = "return_value") -> Any:
        return context["ti"].xcom_pull(task_ids=self.task_ids[task], map_indexes=-1, key=key)

    def _is_skipped(self, context: Context) -> bool:
        choose = self.task_ids["choose"]
        try:
            return task_states(context, [choose]) == {choose: "skipped"}
        except Exception:  # Then the report says that the test is incomplete.
            self.log.warning("The state of the task %s is unknown.", choose, exc_info=True)
            return False

    def _who(self, context: Context) -> dict[str, Any]:
        ti, run = context["ti"], context["dag_run"]
        run_type: Any = getattr(run, "run_type", None)
        return {
            "dag_id": ti.dag_id,
            "run_id": ti.run_id,
            "run_type": getattr(run_type, "value", run_type),
            "owner": self.owner,
            # Airflow 3.1 and later know it, for runs that a user has triggered.
            "triggered_by": getattr(run, "triggering_user_name", None),
        }

    def _earlier(self, context: Context, plan: Plan | None) -> tuple[Mapping[str, Any] | None, str]:
        if plan is None:
            return None, ""
        if plan["sample"] < 1:
            return None, "only a sample of the records was read"
        if not self.report_to:
            return None, "report_to is not set"
        try:
            from airflow_pinecone.runtime.restore_reports import oldest_passed

            return oldest_passed(
                self.report_to, plan["index_name"], plan["backup_id"], self.log.warning, self._who(context)
            )
        except Exception as error:  # Each store has errors of its own, and the records were read.
            self.log.warning("Could not read the earlier tests in %s.", self.report_to, exc_info=True)
            return None, f"the earlier tests could not be read ({type(error).__name__})"

    def _write(self, plan: Plan | None, record: dict[str, Any]) -> str | None:
        if not self.report_to or plan is None:
            return None
        from airflow_pinecone.runtime.restore_reports import write

        ended_at = datetime.fromisoformat(record["ended_at"])
        file = write(self.report_to, plan["index_name"], plan["backup_id"], record, ended_at)
        self.log.info("The record of the test is in %s.", file)
        return file

    def _log_result(self, record: Mapping[str, Any]) -> None:
        has_passed = record["verdict"] == "passed"
        (self.log.info if has_passed else self.log.error)("%s", headline(record))
        findings = sorted(record["findings"], key=lambda finding: not finding["fails"])
        for finding in findings[:_LOGGED_FINDINGS]:
            (self.log.error if finding["fails"] else self.log.info)("%s", line_of(finding))
        if len(findings) > _LOGGED_FINDINGS:
            self.log.error("%d more findings are in the record.", len(findings) - _LOGGED_FINDINGS)
        for note in record["not_checked"]:
            self.log.info("Not checked: %s", note)
        for task in record["incomplete"]:
            self.log.error("The task %s has no result: it failed, or did not run.", task)
