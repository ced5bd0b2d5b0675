"""Who counts as one address, and how many half-read requests it may have."""

from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.networks import NO_ADDRESS, neighbourhood
from dockreg.web.admission import HalfRead, flat_error, refusal
from dockreg.web.browsers import ALL_LINES
from dockreg.web.limits import Limits


class NeighbourhoodTests(SynchronousTestCase):
    """What counts as one address."""

    def test_ipv6_by_network(self) -> None:
        """Hosts of one /64 count as one, hosts of two as two."""
        self.assertEqual(neighbourhood("2001:db8::1"), neighbourhood("2001:db8::ffff:2%eth0"))
        self.assertNotEqual(neighbourhood("2001:db8::1"), neighbourhood("2001:db8:0:1::1"))

    def test_mapped(self) -> None:
        """An IPv4 address is itself, however it is written."""
        self.assertEqual(["192.0.2.1"] * 2, [neighbourhood("192.0.2.1"), neighbourhood("::ffff:192.0.2.1")])

    def test_no_address(self) -> None:
        """What is no address stays as it is."""
        self.assertEqual([NO_ADDRESS, "a:b"], [neighbourhood(NO_ADDRESS), neighbourhood("a:b")])


class RefusalTests(SynchronousTestCase):
    """Responses that are written without a request."""

    def test_flat_error(self) -> None:
        """An error is one member in ASCII, whatever the sentence holds."""
        self.assertEqual(b'{"error": "a \\"b\\" \\u00e4"}', flat_error('a "b" \xe4'))

    def test_whole_response(self) -> None:
        """A refusal announces the type and the length of its error, and that the connection ends."""
        body = flat_error("the request took too long to arrive")
        expected = (
            b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\nConnection: close\r\n%b\r\n" % (len(body), ALL_LINES)
        )
        self.assertEqual([expected + body, expected], [refusal(408), refusal(408, to_head=True)])

    def test_statuses(self) -> None:
        """Each status has its phrase and a sentence of its own; only too much is worth another try soon."""
        starts = {
            400: b"Bad Request\r\nC",
            408: b"Request Timeout\r\nC",
            503: b"Service Unavailable\r\nRetry-After: 1\r\nC",
        }
        responses = [refusal(status) for status in starts]
        for (status, start), response in zip(starts.items(), responses, strict=True):
            self.assertTrue(response.startswith(b"HTTP/1.1 %d %b" % (status, start)), response)
        self.assertEqual(3, len({response.rpartition(b"\r\n")[2] for response in responses}))


class HalfReadTests(SynchronousTestCase):
    """Counting."""

    def test_per_address(self) -> None:
        """One address may have so many, another one its own, and a released one makes room."""
        half_read = HalfRead(Limits(connections_per_address=2))
        self.assertEqual([True, True, False], [half_read.admit("a") for _ in range(3)])
        self.assertTrue(half_read.admit("b"))
        half_read.release("a")
        self.assertTrue(half_read.admit("a"))
        self.assertEqual(3, half_read.total)

    def test_total(self) -> None:
        """All together may have so many, those without address included."""
        half_read = HalfRead(Limits(half_read_total=2))
        self.assertEqual([True, True, False], [half_read.admit(address) for address in ("a", "b", NO_ADDRESS)])

    def test_no_address(self) -> None:
        """Those without address have no limit of their own."""
        half_read = HalfRead(Limits(connections_per_address=1))
        self.assertEqual([True] * 3, [half_read.admit(NO_ADDRESS) for _ in range(3)])
