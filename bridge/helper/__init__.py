"""The one program of Bellpull that root runs: a fixed word, a name that is looked up, a line of answer.

`sudo -n bellpull-helper VERB NAME` does one thing and ends. It imports the standard library
and nothing of the bridge, because whatever is imported here runs as root; and little of
the standard library, because a person with a finger on a tile waits for it.

The way of a request: `process` forgets what the caller left in the process, `trust` makes sure
that nobody but root can change what is about to run, `policy` is read, a file in `verbs`
turns the word and the name into a Plan, `running` carries it out, `answer` says how it went. What Docker's
engine does is asked of it in this process, by `engine`; `watching` stays, and tells what it hears.
"""
