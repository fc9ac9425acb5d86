"""What is asked of a host: the text of each question and the parser of its answer.

A question is a section of one POSIX sh command. It needs nothing on the host but a shell and the
usual tools, and loses no more than a field when one is missing. All sections run at once, each
with a deadline, and the command never waits for a process that cannot be ended. Each line of the
answer is ``section key value``, so that the text of one section is never taken for another's.
A Windows host is asked the same by a batch file, ``windows.cmd``, once another one, ``places.cmd``,
has said what of it may be run there.
"""

from fleetwheel.collectors._answer import AnswerError, Section, sections
from fleetwheel.collectors._script import script
from fleetwheel.collectors._windows import batch, places_batch

__all__ = ["AnswerError", "Section", "batch", "places_batch", "script", "sections"]
