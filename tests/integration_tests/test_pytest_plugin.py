"""The fixtures that users' tests get, in test files of users that a real pytest runs."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

PLUGIN = "langchain_azure_phi3.emulator.pytest_plugin"
# LangSmith's plugin, which every start of pytest would load for a second, is not looked at here.
OPTIONS = ("--strict-markers", "-p", "no:cacheprovider", "-p", "no:langsmith_plugin")


@pytest.fixture
def run(pytester: pytest.Pytester) -> "Runner":
    """Run a user's test file."""
    return Runner(pytester)


class Runner:
    """Write a test file, and run pytest on it."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")

    def __call__(self, code: str, *options: str) -> pytest.RunResult:
        """In a process of its own, as users do.

        One in this process would forget, as it ends, the modules that it loaded first, and the
        next test would meet two of each.
        """
        self.pytester.makepyfile(code)
        return self.pytester.runpytest_subprocess(*OPTIONS, *options, timeout=120)


def test_the_plugin_comes_with_the_package() -> None:
    """Users neither import nor name it."""
    (found,) = entry_points(group="pytest11", name="langchain_azure_phi3")

    assert PLUGIN == found.value


def test_a_test_gets_a_deployment_of_its_own(run: Runner) -> None:
    """Over a socket, empty, and gone with the test."""
    done = run(
        """
        import pytest
        from langchain_azure_phi3 import ChatAzurePhi3

        seen = []

        def test_it_answers(phi_emulator, phi_settings):
            answer = ChatAzurePhi3(**phi_settings).invoke("How many languages are in the world?")
            seen.append(phi_emulator)
            assert "7,000" in answer.text
            assert phi_emulator.model == "Phi-3-mini-4k-instruct"

        def test_another_is_fresh(phi_emulator):
            assert phi_emulator.requests == []
            assert phi_emulator is not seen[0]
            with pytest.raises(RuntimeError, match="not started"):  # stopped
                seen[0].endpoint
        """
    )

    done.assert_outcomes(passed=2)


def test_answers_are_scripted_and_requests_recorded(run: Runner) -> None:
    """What a test of a chain needs most."""
    done = run(
        """
        from langchain_azure_phi3 import ChatAzurePhi3

        def test_a_chain(phi_emulator, phi_settings):
            phi_emulator.script("It is sunny.", "It rains.")
            model = ChatAzurePhi3(**phi_settings)
            assert model.invoke("Weather?").text == "It is sunny."
            assert model.invoke("Weather?").text == "It rains."
            assert phi_emulator.requests[-1].json["messages"][-1]["content"] == "Weather?"
        """
    )

    done.assert_outcomes(passed=1)


def test_faults_are_set_by_the_test(run: Runner) -> None:
    """And met by the code under test."""
    done = run(
        """
        import pytest
        from langchain_azure_phi3 import ChatAzurePhi3, RateLimitError

        def test_a_limit(phi_emulator, phi_settings):
            phi_emulator.fail(status=429, retry_after=1)
            with pytest.raises(RateLimitError) as caught:
                ChatAzurePhi3(**phi_settings, max_retries=0).invoke("Hi")
            assert caught.value.retry_after == 1
        """
    )

    done.assert_outcomes(passed=1)


UNUSED = """
import pytest
from langchain_azure_phi3 import ChatAzurePhi3

def test_uses_all(phi_emulator, phi_settings):
    phi_emulator.script("Here.")
    assert ChatAzurePhi3(**phi_settings).invoke("Hi").text == "Here."

def test_leaves_an_answer(phi_emulator):
    phi_emulator.script("Never.")

@pytest.mark.phi_emulator(strict={strict})
def test_leaves_a_fault(phi_emulator):
    phi_emulator.fail(status=503)
"""


def test_strict_emulators_fail_tests_that_leave_something(run: Runner) -> None:
    """As the marker says, or else the ini option."""
    done = run(UNUSED.format(strict=True))
    done.assert_outcomes(passed=3, errors=1)
    done.stdout.fnmatch_lines("*AssertionError: Not used after 0 requests: faults: *503*")

    done = run(UNUSED.format(strict=False), "-o", "phi_emulator_strict=true")
    done.assert_outcomes(passed=3, errors=1)
    done.stdout.fnmatch_lines("*Not used after 0 requests: scripted responses: *'Never.'*")


def test_a_marker_sets_models_and_options(run: Runner) -> None:
    """The closest one counts: function before class before module."""
    done = run(
        """
        import pytest

        pytestmark = pytest.mark.phi_emulator("Phi-4")

        def test_of_the_module(phi_emulator):
            assert phi_emulator.model == "Phi-4"

        class TestClass:
            pytestmark = pytest.mark.phi_emulator("Phi-4-mini-instruct", key="k")

            def test_of_the_class(self, phi_settings):
                assert phi_settings["model"] == "Phi-4-mini-instruct"
                assert phi_settings["credential"] == "k"

            @pytest.mark.phi_emulator(model_errors="prose", server_type="foundry")
            def test_of_its_own(self, phi_emulator):
                assert phi_emulator.model == "Phi-3-mini-4k-instruct"
                assert phi_emulator.endpoint.endswith("/models")
        """
    )

    done.assert_outcomes(passed=3)


def test_a_marker_with_an_unknown_option_is_an_error_that_names_it(run: Runner) -> None:
    """Before the test runs, so that no test passes by accident."""
    done = run(
        """
        import pytest

        @pytest.mark.phi_emulator("gpt-4")
        def test_an_unknown_model(phi_emulator): ...

        @pytest.mark.phi_emulator(model_errors="kindly")
        def test_an_unknown_mistake(phi_emulator): ...

        @pytest.mark.phi_emulator(color="red")
        def test_an_unknown_option(phi_emulator): ...
        """
    )

    done.assert_outcomes(errors=3)
    printed = done.stdout.str()
    assert "The emulator has no model 'gpt-4'" in printed
    assert "Model error 'kindly' is unknown" in printed
    assert "unexpected keyword argument 'color'" in printed


def test_code_that_reads_the_environment_finds_the_deployment_there(run: Runner) -> None:
    """And does not find it any more in the next test."""
    done = run(
        """
        import os
        from langchain_azure_phi3 import ChatAzurePhi3

        def test_with(phi_environment):
            assert ChatAzurePhi3().invoke("Hi").text
            assert len(phi_environment.requests) == 1

        def test_without():
            assert "127.0.0.1" not in os.environ.get("AZURE_INFERENCE_ENDPOINT", "")
        """
    )

    done.assert_outcomes(passed=2)


def test_a_test_may_have_several_deployments(run: Runner) -> None:
    """For fallbacks from one to the other; all stop with the test."""
    done = run(
        """
        from langchain_azure_phi3 import ChatAzurePhi3

        def test_a_fallback(make_phi_emulator):
            first, second = make_phi_emulator(), make_phi_emulator("Phi-4")
            first.fail(status=500, times=9)
            models = [
                ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, max_retries=0)
                for phi in (first, second)
            ]
            assert "Phi-4" in models[0].with_fallbacks(models[1:]).invoke("Hi").text
        """
    )

    done.assert_outcomes(passed=1)


def test_async_tests_use_the_same_fixtures(run: Runner) -> None:
    """With pytest-asyncio, in its strict mode."""
    done = run(
        """
        import pytest
        from langchain_azure_phi3 import ChatAzurePhi3

        @pytest.mark.asyncio
        async def test_streaming(phi_emulator, phi_settings):
            phi_emulator.script("One two three.")
            pieces = [c.text async for c in ChatAzurePhi3(**phi_settings).astream("Count.")]
            assert "".join(pieces) == "One two three."
        """,
        "--asyncio-mode=strict",
    )

    done.assert_outcomes(passed=1)


def test_parallel_workers_have_deployments_of_their_own(run: Runner) -> None:
    """With pytest-xdist: each test takes a free port."""
    pytest.importorskip("xdist")
    done = run(
        """
        import pytest
        from langchain_azure_phi3 import ChatAzurePhi3

        @pytest.mark.parametrize("number", range(8))
        def test_one_of_many(phi_emulator, phi_settings, number):
            phi_emulator.script(f"Number {number}.")
            assert ChatAzurePhi3(**phi_settings).invoke("Hi").text == f"Number {number}."
            assert len(phi_emulator.requests) == 1
        """,
        "-n2",
    )

    done.assert_outcomes(passed=8)


def test_an_unused_plugin_loads_no_heavy_module() -> None:
    """Pytest imports it at every start, so it may import nothing but this package's own modules."""
    code = f"""
import sys, pytest
before = set(sys.modules)
import {PLUGIN}
print(*(set(sys.modules) - before))
"""
    output = subprocess.check_output([sys.executable, "-c", code], text=True)  # noqa: S603

    package, folder, _ = PLUGIN.split(".")
    # The package registers its old modules, which import nothing by themselves.
    old = {f"{package}.{name}" for name in ("_deprecated", "catalogue", "diagnosis", "doctor")}
    assert set(output.split()) - old == {package, f"{package}.{folder}", PLUGIN}


def test_the_fixtures_are_listed_with_what_they_do(run: Runner) -> None:
    """`pytest --fixtures` and `pytest --markers` are where people look."""
    fixtures = run("", "--fixtures").stdout.str()
    markers = run("", "--markers").stdout.str()

    assert [] == [
        name
        for name in ("make_phi_emulator", "phi_emulator", "phi_environment", "phi_settings")
        if f"\n{name} -- " not in fixtures
    ]
    assert (
        "@pytest.mark.phi_emulator(*models, strict, **options): the models and options" in markers
    )
