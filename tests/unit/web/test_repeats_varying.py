"""Answers that are given again with something in them that is another one each time."""

from twisted.trial.unittest import SynchronousTestCase

from dockreg.web.entrance import Entrance
from dockreg.web.rates import RateLimit
from tests.unit.web.test_repeats import Served


class VaryingTests(SynchronousTestCase):
    """Answers with something in them that is another one each time."""

    def test_made(self) -> None:
        """Each has its own, and is the same for the rest; how it is made is asked once for each."""
        served = Served()
        served.resource.body, served.resource.next = b"<1st>", [b"<2nd>", b"<3rd>"]
        answers = [served.ask() for _ in range(4)]
        bodies = [each.partition(b"\r\n\r\n")[2] for each in answers]
        self.assertEqual([b"<1st>", b"<1st>", b"<2nd>", b"<3rd>"], bodies)
        self.assertEqual(
            {answers[1]}, {each.replace(body, b"<1st>") for each, body in zip(answers[1:], bodies[1:], strict=True)}
        )
        self.assertEqual([], served.resource.next)

    def test_not_now(self) -> None:
        """Where the next one is not to be had like this, the request is answered in the ordinary way, and counted once."""
        served = Served()
        served.resource.body, served.resource.next = b"first", [None, b"other"]
        served.site.entrance = Entrance(rates=RateLimit(1, 4, served.clock))
        self.assertEqual([b"first", b"first", b"first", b"other"], served.bodies(4))
        self.assertEqual(3, served.resource.asked)
        self.assertEqual(4, len(served.records))

    def test_refused(self) -> None:
        """It is asked for no longer than the answer may be given."""
        served = Served()
        served.resource.body, served.resource.next = b"first", [b"other"]
        served.bodies(2)
        served.resource.version = None
        self.assertEqual([b"first"], served.bodies(1))
        self.assertEqual([b"other"], served.resource.next)
