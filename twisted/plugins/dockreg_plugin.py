"""Makes ``twistd`` know ``dockreg``."""

from twisted.application.service import ServiceMaker

dockreg = ServiceMaker("dockreg", "dockreg.tap", "A container registry.", "dockreg")
