"""What a store promises to who asks it several things at once. :mod:`dockreg.interfaces` says what holds for every method."""

from zope.interface import Interface


class IMoments(Interface):
    """Answers as of one moment, which may cost less."""

    def begin_moment() -> None:
        """
        What is asked until :meth:`end_moment`, without a wait in between, may be answered as of one moment from now on.

        What the store itself has written meanwhile is in every answer. A moment that begins in another one ends that.
        """

    def end_moment() -> None:
        """Each question has a moment of its own again. Harmless when none has begun."""

    def version() -> object | None:
        """
        The same object (``is``) for as long as nobody, in any process, has written; within a moment, that of the moment.

        None when the store can not tell, or not without a wait.
        """

    def lasting_version() -> object | None:
        """
        The same, for as long as nobody has changed what lasts while others write: who somebody is and what he may do, and
        what is there of the blobs and manifests that a repository has, and which v1 images these are. That there is no such
        blob or manifest does not last, nor where tags point.
        """
