"""Tests for dockreg.errors."""

import attrs
from twisted.trial.unittest import SynchronousTestCase

from dockreg import errors, errors_access, errors_blobs, errors_quotas, errors_rights
from dockreg.web.errors import V1_STATUS
from dockreg.web.v2.errors import V2_ANSWERS

# Not __subclasses__(): attrs makes each class twice, and the first one may still be there.
KINDS = [
    kind
    for module in (errors, errors_access, errors_blobs, errors_quotas, errors_rights)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, errors.RegistryError) and kind is not errors.RegistryError
]


class RegistryErrorTests(SynchronousTestCase):
    """Tests for all kinds of RegistryError."""

    def test_each_has_a_status(self) -> None:
        """No kind of error can reach a door that does not know its status."""
        self.assertEqual(set(KINDS), set(V1_STATUS))
        self.assertLess(set(V2_ANSWERS), set(KINDS))

    def test_each_has_a_sentence(self) -> None:
        """Each kind says something to the client, and nothing of the kind's own name."""
        for kind in KINDS:
            assert attrs.has(kind)
            samples = {int: 7, str: "seven"}
            problem = kind(*(samples.get(field.type, ("seven",)) for field in attrs.fields(kind)))
            self.assertGreater(len(str(problem)), 4)
            self.assertNotIn(kind.__name__, str(problem))


class ExplainedTests(SynchronousTestCase):
    """What an operator is told."""

    def test_cause(self) -> None:
        """The reason stands behind the sentence, in one line."""
        problem = errors.StoreUnavailable("the store can not be opened")
        self.assertEqual("the store can not be opened", errors.explained(problem))
        problem.__cause__ = PermissionError(13, "Permission denied", "/x")
        self.assertEqual("the store can not be opened: [Errno 13] Permission denied: '/x'", errors.explained(problem))
        problem.__cause__ = ValueError("a\nb")
        self.assertEqual("the store can not be opened: a", errors.explained(problem))
