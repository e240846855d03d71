"""Another system's groups and permissions made ours, in one transaction."""

from __future__ import annotations

from apostille_contracts.events import EventTag
from apostille_issuer.access.holders import holders_since
from apostille_issuer.access.import_assignments import AssignmentImport, Enrolment
from apostille_issuer.access.import_roles import RoleImport
from apostille_issuer.access.policy import Change, Policy
from apostille_issuer.access.schemas import ImportPlan, ImportReport
from apostille_issuer.http.context import RequestContext

__all__ = ["Importing"]


class Importing:
    """Imports what is planned, whoever asks: for the operator at the command line alone."""

    def __init__(self, policy: Policy) -> None:
        """Take what every change of policy needs."""
        self._policy = policy

    async def run(
        self,
        plan: ImportPlan,
        context: RequestContext,
        *,
        enrolment: Enrolment,
        dry_run: bool = False,
    ) -> ImportReport:
        """Make permissions, roles and assignments so, all or none of them.

        Only adds: a permission that the catalogue knows stays as it is, a role
        of the same name at the same place comes to allow what it did not, and
        nobody loses a role. So a second time changes nothing.

        Args:
            plan: What there is to be; see :func:`.rbac_mapping.plan_import`.
            context: Who imports, from where. What he holds is not asked.
            enrolment: Makes members, if roles go to an organization.
            dry_run: Do it all, say what that was, and undo it.

        Raises:
            IssuerProblem: ``not_found`` for the organization; ``name_taken``
                for a role of another organization, or a service's audience;
                ``seats_exhausted``.
        """
        tag = EventTag.ROLE_CREATED
        try:
            async with self._policy.change(context, tag, "import") as change:
                report = await self._run(change, plan, enrolment)
                _Undo.if_asked(report, dry_run=dry_run)
        except _Undo as undone:
            return undone.report
        return report

    async def _run(self, change: Change, plan: ImportPlan, enrolment: Enrolment) -> ImportReport:
        report, now = ImportReport(without=list(plan.without)), self._policy.clock()
        imported = RoleImport(change, plan, report, now)
        await imported.run()
        assigning = AssignmentImport(
            change, plan, report, now, imported=imported, enrolment=enrolment
        )
        await assigning.run()
        if imported.changed or report.assigned:
            role_ids = [role.id for role in imported.roles.values()]
            await change.rights_changed(holders_since(now, role_ids, imported.changed))
        return report


class _Undo(Exception):
    """Rolls a dry run back."""

    def __init__(self, report: ImportReport) -> None:
        super().__init__()
        self.report = report

    @classmethod
    def if_asked(cls, report: ImportReport, *, dry_run: bool) -> None:
        if dry_run:
            raise cls(report)
