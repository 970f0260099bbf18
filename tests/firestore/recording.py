"""A gRPC interceptor that notes each request, and answers with a fault when it was told to."""

import threading
from collections import deque

import grpc

SILENT = "the request is done, and its answer is lost"


class Fault(grpc.RpcError):
    """What a failed request ends with."""

    def __init__(self, code):
        super().__init__(code.name)
        self._code = code

    def code(self):
        return self._code

    def details(self):
        return "injected"


class Recorder(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Notes requests by name; `fail` puts faults before the next ones of a name."""

    def __init__(self):
        self.requests = []
        self.messages = []
        self.deadlines = []
        self.headers = []
        self.handed_over = 0
        """Documents that queries have brought."""
        self._faults = {}
        self._lock = threading.Lock()

    def fail(self, request, *faults):
        """Let the next requests of a name fail: a code each, ``None`` to pass, or a function of call and answer."""
        self._faults[request] = deque(faults)

    def clear(self):
        self.requests.clear()
        self.messages.clear()
        self.handed_over = 0

    def intercept_unary_unary(self, proceed, details, request):
        fault = self._note(details, request)
        if fault is None:
            return proceed(details, request)
        if callable(fault):
            return fault(lambda: proceed(details, request))
        raise Fault(fault)

    def intercept_unary_stream(self, proceed, details, request):
        fault = self._note(details, request)
        if fault is None:
            return _Counted(proceed(details, request), self)
        if callable(fault):
            return fault(lambda: proceed(details, request))
        raise Fault(fault)

    def _note(self, details, request):
        name = details.method.rpartition("/")[2]
        with self._lock:
            self.requests.append(name)
            self.messages.append(request)
            self.deadlines.append(details.timeout)
            self.headers.append(dict(details.metadata))
            faults = self._faults.get(name)
            return faults.popleft() if faults else None


class _Counted:
    """The answers to a stream, whose documents are counted if it is that of a query."""

    def __init__(self, answers, recorder):
        self._answers = answers
        self._recorder = recorder
        self.cancel = answers.cancel

    def __iter__(self):
        return self

    def __next__(self):
        answer = next(self._answers)
        self._recorder.handed_over += getattr(answer, "document", None) is not None and answer.HasField("document")
        return answer


def losing_the_answer(code=grpc.StatusCode.UNAVAILABLE):
    """The request is done; what comes back is an error."""

    def fault(proceed):
        answer = proceed()
        answer.result() if hasattr(answer, "result") else list(answer)
        raise Fault(code)

    return fault


class _Broken:
    def __init__(self, answers, after, code):
        self._answers = answers
        self._left = after
        self._code = code

    def __iter__(self):
        return self

    def __next__(self):
        if not self._left:
            self._answers.cancel()
            raise Fault(self._code)
        self._left -= 1
        return next(self._answers)

    def cancel(self):
        self._answers.cancel()


def breaking_after(answers, code=grpc.StatusCode.UNAVAILABLE):
    """The stream breaks after so many answers."""
    return lambda proceed: _Broken(proceed(), answers, code)


class Answered:
    """What a request without a stream answers."""

    def __init__(self, answer):
        self._answer = answer

    def result(self, timeout=None):
        return self._answer


def refusing_some(code, which):
    """Of a `BatchWrite`, the writes that ``which`` names by place answer with a code, whatever became of them."""

    def fault(proceed):
        answer = proceed().result()
        for place, status in enumerate(answer.status):
            if which(place):
                status.code = code.value[0]
                answer.write_results[place].Clear()
        return Answered(answer)

    return fault
