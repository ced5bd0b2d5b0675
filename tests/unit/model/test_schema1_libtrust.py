"""Tests for dockreg.model.schema1 and dockreg.model.jws with what docker's libtrust made and reads."""

import json
from base64 import b64decode, b64encode
from hashlib import sha256

from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import ManifestInvalid
from dockreg.model.schema1 import Schema1, key_id_of, parse_schema1, sign_schema1

# Made with libtrust (the Go module github.com/docker/libtrust, aabc10ec26b7) through docker/distribution v2.8.3.
PAYLOAD = r"""{
   "schemaVersion": 1,
   "name": "library/demo",
   "tag": "latest",
   "architecture": "amd64",
   "fsLayers": [
      {
         "blobSum": "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
      },
      {
         "blobSum": "sha256:1111111111111111111111111111111111111111111111111111111111111111"
      }
   ],
   "history": [
      {
         "v1Compatibility": "{\"id\":\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\",\"parent\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"author\":\"\u003cme\u003e \u0026 ä\",\"container_config\":{\"Cmd\":[\"echo \\\"x\\\"\"]},\"throwaway\":true}"
      },
      {
         "v1Compatibility": "{\"id\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}"
      }
   ]
}"""
PAYLOAD_DIGEST = "sha256:649fdc2abf635976b5faac1c5bb65853ee5bd29136eb7b67a292b78c1f3e0f30"
SIGNED = (
    PAYLOAD.removesuffix("\n}")
    + r""",
   "signatures": [
      {
         "header": {
            "jwk": {
               "crv": "P-256",
               "kid": "5LNG:MHWM:MRZ7:WDWS:PXP2:DUIJ:DYAE:BYDK:KC67:NAMP:3RJI:UDRS",
               "kty": "EC",
               "x": "dfiYf-GjbqxElF5wKrhhEqTKC6bWBXrxPqoMRSxgsmY",
               "y": "bZ0fbM38UCFQ625QLKvpb20na49GRgYOMuidzC05u30"
            },
            "alg": "ES256"
         },
         "signature": "eXtxzkMKTTCJH2gc9CM6Zh3N2SdIZ-V_KTz7EMQFEEK4OzvVYANkimT0560t7f7HeqC5b2lJURW4BfgoAY2xaw",
         "protected": "eyJmb3JtYXRMZW5ndGgiOjgwNCwiZm9ybWF0VGFpbCI6IkNuMCIsInRpbWUiOiIyMDI2LTExLTI0VDE2OjA2OjU5WiJ9"
      }
   ]
}"""
)
#: The private key of that signature, and its name.
KEY = b64decode(
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgWpCP56lXEUf940ZxSI8vKFJe81gLJNUxQdJKxNQb9cihRANCAAR1+Jh/4aNurESUXnAquGESpMoLptYFevE+qgxFLGCyZm2dH2zN/FAhUOtuUCyr6W9tJ2uPRkYGDjLoncwtObt9"
)
KEY_ID = "5LNG:MHWM:MRZ7:WDWS:PXP2:DUIJ:DYAE:BYDK:KC67:NAMP:3RJI:UDRS"
#: Signatures of the same payload with other keys.
OTHERS = {
    "p384": r"""{"header":{"jwk":{"crv":"P-384","kid":"GBCT:4HP4:EEDR:DOUZ:TDTT:EUPA:GZGX:23FI:DITN:MWVG:VJKD:3EYK","kty":"EC","x":"ooL3wiBgn2bBDcrebj72F3xrhJD3NVBhubQI-DsUSeGoYZWkU1hPWCfwcZjm8xrA","y":"sDbY0kR2YwAXPf9vgNXL58drzPl1_Uj5VKWbzVHIqkjFkEFG5y5iMqPMQQqpLPoH"},"alg":"ES384"},"signature":"qFpGvunbXTxudb6c8FqeluEmLqEH-xRpKdqKuN8idm-d8iHcAPd9T0i5Fa-ymrwUOGnVtTlwExAVrc0YXWAUhtpI6IoBKgDPXD8oQcLjRi0ckI7YRlp2XeN3BIEPTA7n","protected":"eyJmb3JtYXRMZW5ndGgiOjgwNCwiZm9ybWF0VGFpbCI6IkNuMCIsInRpbWUiOiIyMDI2LTExLTI0VDE2OjA2OjU5WiJ9"}""",
    "p521": r"""{"header":{"jwk":{"crv":"P-521","kid":"SXBS:FZ6K:NYJM:XHXW:SCEC:WGKV:6GHV:7ODL:D2UO:U3FZ:RROW:7IWE","kty":"EC","x":"AR85dI7ObRxrPiqb3aXj7Mbh6nBgKKWG8Bt4ugn4-897AyAP5SYiqvvhva_b1ofEKqYz_LJuhfdc-jA90_qEQan6","y":"AA-KQoXWGP0nck3UTBcUcHBdzfvMk_4b9lXGnRGCLa4XLUNU1v4fWHejPupLQt3yy8rnaVJyiz9WTn_PqvoSRb4F"},"alg":"ES512"},"signature":"ATEP98cGXUqipKtRQfbDDnaOq9c5TK7yF-KlbGFH6b0PUKNMCNL9zrH3nUN6HjcF8a1UGD8sebxoy1ap2xmwTVrgAeMehxGct73V7ipNxwayvHmT4LmBCtrBDhHKSWKAO3J5YPcIaSXM2R_cD77RbbKbXpiWXTmrsunygwODjplW_TpQ","protected":"eyJmb3JtYXRMZW5ndGgiOjgwNCwiZm9ybWF0VGFpbCI6IkNuMCIsInRpbWUiOiIyMDI2LTExLTI0VDE2OjA2OjU5WiJ9"}""",
    "rsa": r"""{"header":{"jwk":{"e":"AQAB","kid":"5UJP:NQ2Q:TH4Q:5K7Q:KLNB:QBHI:FHQX:3XRR:ZCFD:3POW:SGUX:GJ6L","kty":"RSA","n":"vQKlxhM71Ple2BML_fnMeQOqaYVFAEpXNtrFNHHYVEe3PBjt5ncAcWPEmLGEPLFG603XLjb19MEmgsYP-BCPck2T9VHi5q6pPF7E-RF1Y7kuux8sgMVQUhFrNllixKMGPuGZ3e3f6tGXKe2OTQFmYhLzqrerXgd9xtu5P7RS4WKs2hNOmgIadyZtukFNQDThUS0tvz7fVMl4L1vSE3ODuk6lt69aC9oAVaHB7hFVdRYjYIQXLkb55Pmg-kDLwARzJYI9xFMbG9R-3GtPopP3Zkf3HfLALa_jeim_MGANSv9vb8d4AuC3SquG_lPocko_3HaRidyKmasIXhAbYAptzQ"},"alg":"RS256"},"signature":"m4cmW_SJ_3-WZ7zLUckEbypwq8ySKlZ3r26mOx8XcEKmJUu9WQWgE2dtmdCIo_eLwRkLkGy4V8XfAzmE-N8nbIossOSWEUzEBxst3nX4m4EEsgmui6glbTDtPAwWDka7EnsGPAVFpx_l-12bQZXKpN3A6hiY5qJi29QQQfrH0E8rXNsrSQdrWXaH_ZGBHH9vRmRmGpMGATr7-9fG4u0FEXJjlTuyppZ14jCespaWHc3Tl9mkzfttUqaSJRXgmM2IJQrlHkbtgSc8GtFVXVZF3tRYh_d14GlhZ4elPZKDqxG20O3yfY7xemWtDCrmRkwJnf1JBrhGdKRPJR_dq2s7Ww","protected":"eyJmb3JtYXRMZW5ndGgiOjgwNCwiZm9ybWF0VGFpbCI6IkNuMCIsInRpbWUiOiIyMDI2LTExLTI0VDE2OjA2OjU5WiJ9"}""",
    "x5c": r"""{"header":{"alg":"ES256","x5c":["MIIBAzCBq6ADAgECAgEBMAoGCCqGSM49BAMCMAwxCjAIBgNVBAMTAXgwHhcNNzAwMTAxMDAwMDAwWhcNNzAwMTAxMDAwMDAxWjAMMQowCAYDVQQDEwF4MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAElD8SNvKTstt2S2GE+W7UjtloZ/sGRNGOgjQBVwPzXlLOhc5A9nVG82MgeqLqZ3H2zDg7j8XI/E2tBLMbpg72TTAKBggqhkjOPQQDAgNHADBEAiAFzuer+MIMyNHquTpoR3wq2trfz3nrT6saLBYxIJ+aSgIgdgZh5B8NkQKwgfsbTltEHsH2mOyXIW9hIbyCztvibZk="]},"signature":"QSYqKVc5qZPkMa-5S6nnG_1MCuo2Vo4P1SYzSxbyEkx-8OYa-bfTQnyv1cu9xX4TIWtrkVaKj6Hocm1U5oUVKw","protected":"eyJmb3JtYXRMZW5ndGgiOjgwNCwiZm9ybWF0VGFpbCI6IkNuMCIsInRpbWUiOiIyMDI2LTExLTI0VDE2OjA2OjU5WiJ9"}""",
}
#: Two signatures of the payload without white space.
COMPACT = (
    r"""{"header":{"jwk":{"crv":"P-256","kid":"5LNG:MHWM:MRZ7:WDWS:PXP2:DUIJ:DYAE:BYDK:KC67:NAMP:3RJI:UDRS","kty":"EC","x":"dfiYf-GjbqxElF5wKrhhEqTKC6bWBXrxPqoMRSxgsmY","y":"bZ0fbM38UCFQ625QLKvpb20na49GRgYOMuidzC05u30"},"alg":"ES256"},"signature":"ThiE86Lc3i4SfGydH-6kwlPvbmsVZ9W1Cm61M1V4D5QgimtzaeWxle-Ic62NdD4KHLYg14S6su_3WWb-6QEOYw","protected":"eyJmb3JtYXRMZW5ndGgiOjY2NiwiZm9ybWF0VGFpbCI6ImZRIiwidGltZSI6IjIwMjYtMTEtMjRUMTY6MDY6NTlaIn0"}""",
    r"""{"header":{"jwk":{"crv":"P-384","kid":"GBCT:4HP4:EEDR:DOUZ:TDTT:EUPA:GZGX:23FI:DITN:MWVG:VJKD:3EYK","kty":"EC","x":"ooL3wiBgn2bBDcrebj72F3xrhJD3NVBhubQI-DsUSeGoYZWkU1hPWCfwcZjm8xrA","y":"sDbY0kR2YwAXPf9vgNXL58drzPl1_Uj5VKWbzVHIqkjFkEFG5y5iMqPMQQqpLPoH"},"alg":"ES384"},"signature":"ff1Wu0Gy1kofITswjo6UqICiU4J1s2WawaTGVd1iQirdNdIRi3Uc9edL3Wg9b9L2JV74MEEwcG2Fal3pWOKGm4AFTWQYGjDo0d5ZbJauZLFluBUrRt6zXLQh4RQiRmQX","protected":"eyJmb3JtYXRMZW5ndGgiOjY2NiwiZm9ybWF0VGFpbCI6ImZRIiwidGltZSI6IjIwMjYtMTEtMjRUMTY6MDY6NTlaIn0"}""",
)
COMPACT_DIGEST = "sha256:9943defab02e3f4536272222ebd76a9d7f9a5ec498b86b255948893367fb9cce"


def with_signatures(payload: str, *signatures: str) -> bytes:
    """The payload and signatures, which are written without white space."""
    end = payload.rstrip("\n}").rindex("]") + 1
    return f'{payload[:end]},"signatures":[{",".join(signatures)}]}}'.encode()


def compact(payload: str) -> str:
    """Without white space, and with what Go escapes, as Go writes it."""
    text = json.dumps(json.loads(payload), separators=(",", ":"), ensure_ascii=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


class LibtrustTests(SynchronousTestCase):
    """What libtrust made is read, and what we make looks as if it had."""

    def parsed(self, content: bytes) -> Schema1:
        parsed = parse_schema1(content)
        self.assertTrue(parsed.signed)
        self.assertEqual(("library/demo", "latest", "amd64"), (parsed.name, parsed.tag, parsed.architecture))
        return parsed

    def test_read(self) -> None:
        """The payload that libtrust signed is found, and its digest is that of the manifest."""
        parsed = self.parsed(SIGNED.encode())
        self.assertEqual((PAYLOAD.encode(), PAYLOAD_DIGEST), (parsed.payload, str(parsed.digest)))
        self.assertEqual(["a3ed95caeb", "1111111111"], [layer.encoded[:10] for layer in parsed.fs_layers])
        self.assertEqual(["b" * 64, "a" * 64], [image.image_id.value for image in parsed.history])
        entries = json.loads(PAYLOAD)["history"]
        self.assertEqual(
            [each["v1Compatibility"].encode() for each in entries], [each.content for each in parsed.history]
        )

    def test_other_keys(self) -> None:
        """The curves P-384 and P-521, RSA, and the key of a certificate sign as well, alone and together."""
        for signature in OTHERS.values():
            self.assertEqual(PAYLOAD_DIGEST, str(self.parsed(with_signatures(PAYLOAD, signature)).digest))
        self.assertEqual(PAYLOAD_DIGEST, str(self.parsed(with_signatures(PAYLOAD, *OTHERS.values())).digest))

    def test_compact(self) -> None:
        """A payload without white space is found as well."""
        self.assertEqual(COMPACT_DIGEST, str(self.parsed(with_signatures(compact(PAYLOAD), *COMPACT)).digest))

    def test_changed(self) -> None:
        """Whatever is changed in what was signed, the signature does not hold any more."""
        for before, after in (
            ('"latest"', '"newest"'), ("amd64", "arm64"), ('"schemaVersion": 1', '"schemaVersion":  1'), ("b46d4", "b46d5"),
        ):  # fmt: skip
            with self.subTest(after=after):
                self.assertRaises(ManifestInvalid, parse_schema1, SIGNED.replace(before, after, 1).encode())
        for name, signature in OTHERS.items():
            changed = with_signatures(PAYLOAD.replace("amd64", "arm64"), signature)
            reason = self.assertRaises(ManifestInvalid, parse_schema1, changed).reason
            self.assertEqual("signatures[0]: it does not match what was signed", reason, name)

    def test_swapped(self) -> None:
        """One signature that does not hold is enough to refuse all."""
        wrong = OTHERS["p384"].replace('"signature":"', '"signature":"AAAA', 1)
        also_wrong = json.dumps({**json.loads(OTHERS["rsa"]), "signature": json.loads(OTHERS["p521"])["signature"]})
        for signatures in ((OTHERS["rsa"], wrong), (wrong, OTHERS["rsa"]), (also_wrong,), (OTHERS["rsa"], COMPACT[0])):
            self.assertRaises(ManifestInvalid, parse_schema1, with_signatures(PAYLOAD, *signatures))

    def test_broken_certificates(self) -> None:
        """A certificate that can not be read is refused, whatever is wrong with it."""
        block = json.loads(OTHERS["x5c"])
        certificate = b64decode(block["header"]["x5c"][0])
        for position in range(len(certificate)):
            changed = certificate[:position] + bytes([certificate[position] ^ 6]) + certificate[position + 1 :]
            block["header"]["x5c"] = [b64encode(changed).decode()]
            try:
                parsed = parse_schema1(with_signatures(PAYLOAD, json.dumps(block)))
            except ManifestInvalid:
                continue
            # Only its key is looked at.
            self.assertEqual(PAYLOAD_DIGEST, str(parsed.digest))

    def test_sign(self) -> None:
        """With the same key we write the same, but for the time and the random part of a signature."""
        made = sign_schema1(PAYLOAD.encode(), KEY).decode()
        self.assertEqual(PAYLOAD_DIGEST, str(self.parsed(made.encode()).digest))
        ours, theirs = (text.splitlines() for text in (made, SIGNED))
        self.assertEqual(len(theirs), len(ours))
        for line, expected in zip(ours, theirs, strict=True):
            if '"signature":' not in line and '"protected":' not in line:
                self.assertEqual(expected, line)
        self.assertEqual(KEY_ID, key_id_of(KEY))

    def test_fixture(self) -> None:
        """The digest is the one that sha256sum has of the payload."""
        self.assertEqual(PAYLOAD_DIGEST, "sha256:" + sha256(PAYLOAD.encode()).hexdigest())
