"""Tags, repositories and search: what clients list, and what they delete."""

import json

from tests.clients.case import ClientCase
from tests.clients.copiers import Crane, Oras, Regctl, Skopeo
from tests.clients.engines import Podman


class ListTests(ClientCase):
    """All clients see the same lists."""

    def setUp(self) -> None:
        super().setUp()
        self.crane, self.skopeo = Crane.start(self.place), Skopeo.start(self.place)
        self.regctl, self.oras = Regctl.start(self.place, self.host), Oras.start(self.place)

    def push(self, name: str, *tags: str) -> str:
        """Push the sample with some tags; return its digest."""
        first = self.reference(name, tags[0])
        self.crane.push(self.archive, first)
        for tag in tags[1:]:
            self.crane("tag", first, tag)
        return self.crane("digest", first).decode().strip()

    def tags(self, name: str) -> list[str]:
        """The tags of a repository, as each client tells them."""
        repository = f"{self.host}/{name}"
        lists = {
            "crane": self.crane("ls", repository).decode().split(),
            "regctl": self.regctl("tag", "ls", repository).decode().split(),
            "oras": self.oras("repo", "tags", "--plain-http", repository).decode().split(),
            "skopeo": json.loads(self.skopeo("list-tags", "--tls-verify=false", f"docker://{repository}"))["Tags"],
        }
        for name_of_client, found in lists.items():
            self.assertEqual(lists["skopeo"], found, name_of_client)
        found = lists["skopeo"]
        assert isinstance(found, list)
        return found

    def test_tags(self) -> None:
        """Tags are listed in ASCII order."""
        self.push("lists", "b", "a", "B", "1.10", "1.9", "_")
        self.assertEqual(["1.10", "1.9", "B", "_", "a", "b"], self.tags("lists"))

    def test_pages(self) -> None:
        """A list that has many pages is read whole."""
        names = [f"v{number:02d}" for number in range(25)]
        self.push("lists", *names)
        repository = f"{self.host}/lists"
        pages: list[str] = []
        while len(pages) < len(names):
            last = [f"--last={pages[-1]}"] if pages else []
            page = self.regctl("tag", "ls", "--limit=10", *last, repository).decode().split()
            self.assertLessEqual(len(page), 10)
            self.assertTrue(page)
            pages += page
        self.assertEqual(names, pages)

    def test_repositories(self) -> None:
        """Repositories are listed in ASCII order by crane catalog, regctl repo ls and oras repo ls."""
        names = ["a", "a/b", "a/b-c", "ab", "z/y/x"]
        for name in reversed(names):
            self.push(name, "1")
        self.assertEqual(names, self.crane("catalog", self.host).decode().split())
        self.assertEqual(names, self.regctl("repo", "ls", self.host).decode().split())
        self.assertEqual(names, self.oras("repo", "ls", "--plain-http", self.host).decode().split())

    def test_search(self) -> None:
        """podman search finds an image by a part of its name, through the search of v1."""
        podman = Podman.start(self.place)
        for name in ("team/needle", "team/other"):
            self.push(name, "1")
        found = podman("search", "--tls-verify=false", "--format={{.Name}}", f"{self.host}/needle").decode().split()
        self.assertEqual([f"{self.host}/team/needle"], found)
        self.assertIn("/v1/search", {request.path for request in self.requests()})
        tags = podman("search", "--tls-verify=false", "--list-tags", f"{self.host}/team/needle")
        self.assertEqual("1", tags.decode().split()[-1])

    def test_delete_tag(self) -> None:
        """regctl tag rm removes the tag alone: another one, and the digest, go on."""
        digest = self.push("lists", "gone", "stays")
        self.regctl("tag", "rm", self.reference("lists", "gone"))
        self.assertEqual(["stays"], self.tags("lists"))
        self.assertEqual([f"{digest}\n"], [self.crane("digest", self.reference("lists", "stays")).decode()])
        self.place.fail("crane", "digest", "--insecure", self.reference("lists", "gone"))

    def test_delete_by_digest(self) -> None:
        """crane delete and oras manifest delete of a digest remove the manifest and its tags."""
        commands = {
            "crane": ("crane", "delete", "--insecure"),
            "oras": ("oras", "manifest", "delete", "--force", "--plain-http"),
        }
        for name, command in commands.items():
            digest = self.push(name, "one", "two")
            self.place.run(*command, f"{self.host}/{name}@{digest}")
            told = self.place.fail("crane", "manifest", "--insecure", f"{self.host}/{name}@{digest}")
            self.assertIn("MANIFEST_UNKNOWN", told)
            self.place.fail("crane", "manifest", "--insecure", self.reference(name, "two"))

    def test_delete_by_skopeo(self) -> None:
        """skopeo delete removes the manifest that a tag points to, and can do so but once."""
        self.push("lists", "one", "two")
        command = ("delete", "--tls-verify=false", f"docker://{self.reference('lists', 'one')}")
        self.skopeo(*command)
        self.place.fail("skopeo", *command)
        self.place.fail("crane", "manifest", "--insecure", self.reference("lists", "two"))

    def test_deleted_and_pushed_again(self) -> None:
        """What was deleted can be pushed again, and is whole."""
        digest = self.push("lists", "1")
        self.crane("delete", f"{self.host}/lists@{digest}")
        self.assertEqual(digest, self.push("lists", "1"))
        self.pulled_by(("skopeo", "crane", "regctl", "oras"), self.reference("lists"), self.sample.image)
