"""The errors this library raises.

    MienError
    ├─ InputError              bad image, video, URL or parameter      HTTP 422, exit code 2
    │   ├─ SourceError         cannot open the stream, or lost it
    │   ├─ NoFaceError         enrolling: nobody in the photo
    │   ├─ ManyFacesError      enrolling: more than one person in the photo
    │   └─ SpoofError          enrolling: a picture of a face, or a screen
    ├─ ModelError              unknown name, download, checksum, shape HTTP 503
    ├─ PluginError             a part of another package does not load HTTP 503
    └─ GalleryError            the gallery cannot be read or written   HTTP 503
        ├─ PersonNotFound      no such name                            HTTP 404
        ├─ PersonExists        the name is taken                       HTTP 409
        ├─ UnknownNotFound     no such group or face of the unknown    HTTP 404
        ├─ VisitNotFound       no such visit or picture of one         HTTP 404
        └─ EmbedderMismatch    made with another embedder              HTTP 409

Every message says what to do about it.
"""

from __future__ import annotations


class MienError(Exception):
    """Root of all errors of this library."""


class InputError(MienError):
    """The given image, video, URL or parameter cannot be used."""


class SourceError(InputError):
    """A source cannot be opened or was lost."""


class MemoryShort(InputError):  # noqa: N818 - not the input's fault, but it is left out like one that cannot be read
    """There is not enough memory for a picture."""


class NoFaceError(InputError):
    """A photo to enrol holds no face."""


class ManyFacesError(InputError):
    """A photo to enrol holds more than one face."""


class SpoofError(InputError):
    """A photo to enrol surely shows a face that is itself a picture."""


class ModelError(MienError):
    """A model is unknown, missing, damaged or of the wrong shape."""


class PluginError(MienError):
    """A part that another package offers cannot be loaded."""


class GalleryError(MienError):
    """The gallery cannot be read or written."""


class PersonNotFound(GalleryError):  # noqa: N818 - the names of the design
    """Nobody in the gallery bears that name."""


class PersonExists(GalleryError):  # noqa: N818
    """Somebody in the gallery already bears that name."""


class PhotoNotFound(GalleryError):  # noqa: N818
    """A person has no such photo, or there is no picture of it."""


class UnknownNotFound(GalleryError):  # noqa: N818
    """No group or face of unknown people has this id."""


class VisitNotFound(GalleryError):  # noqa: N818
    """No visit has this id, or no such picture is kept of it."""


class EmbedderMismatch(GalleryError):  # noqa: N818
    """The gallery was made with another embedder."""
