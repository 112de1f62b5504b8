"""Works an inbox of scans: photos out, originals aside, nothing ever lost (docs/inbox.md).

look.py      which files are there, in natural order, and which have come to rest
task.py      what is asked of the engine for a scan, and what is decided about its answer
work.py      the deeds in their order; what a crash left half done is carried on
ledger.py    the intentions, written before the deeds
tree.py      folders by descriptor: no link is followed, nothing is overwritten
dates.py     when a photo was taken, out of the names people give
progress.py  the socket that tells how far it is
run.py       the loop around them
"""
