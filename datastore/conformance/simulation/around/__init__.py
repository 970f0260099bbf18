"""What is kept around the records joins the simulation: leases, logs, runs and blobs, each with its calls and rules.

What a call of these does to one thing is an effect, as with keys, where that thing is a register: a key that was
written under a lease, a step of a run, a blob. Leases and logs have rules of their own for the whole history.
"""
