#!/usr/bin/python3
"""quantised_oracles_test.py QUANTISED_OUTPUTS: golden/real.py and golden/real_experts.cc have the
same values and the same bounds for quantised experts of real worlds, in every scheme.
"""

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy

ROOT = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "golden"))
import oracle  # noqa: E402
import real  # noqa: E402
import requantise  # noqa: E402
import schemes  # noqa: E402
import world  # noqa: E402

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "build/cpu/tests/process/moe_quantised_outputs"
SCHEMES = [
    ("fp8_dynamic_tensor", "fp8_static_tensor", 0.0137, 0.0061),
    ("fp8_dynamic_tensor", "fp8_dynamic_tensor", 0.0137, 0.0061),
    ("fp8_channel", "fp8_dynamic_token"), ("fp8_block128x128", "fp8_block128"),
    ("fp8_block128x128", "fp8_block128_triton"), ("fp8_block128x128", "fp8_block128_ue8m0"),
    ("fp8_block128x128", "fp8_block128_ue8m0_packed"), ("fp8_block128x128", ""),
    ("fp8_block128x128", "fp8_block128_deepep"), ("int8_channel", "int8_dynamic_token"),
    ("int8_channel", "int8_dynamic_token_op"), ("int4_uint4b8", ""), ("int4_zero_point", ""),
    ("int8_uint8b128", ""), ("nvfp4", "nvfp4", 390.0, 1500.0), ("nvfp4", ""),
    ("nvfp4", "nvfp4", 30000.0, 0.25), ("mxfp4_cutlass", "mxfp4_cutlass"),
    ("mxfp4_even", "mxfp4_even"), ("mxfp4_ocp", "mxfp4_ocp"), ("mxfp8", "mxfp8"),
    ("mxfp8_torch", "mxfp8_torch"), ("mxfp4_even", "mxfp8")]


class QuantisedOracles(unittest.TestCase):
    def outputs(self, quantisation, activation):
        """(values, errors) [rows, hidden] of the C++ oracle."""
        given = [str(round(number * 2 ** 20)) for number in quantisation[3:5]]
        words = [name or "-" for name in quantisation[:3]] + given + [activation,
                                                                      quantisation.rounding]
        done = subprocess.run([PROGRAM, *words], capture_output=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return numpy.frombuffer(done.stdout).reshape(2, 3, 160)

    def compare(self, scheme, activation, rounding="each"):
        weights, a, *given = scheme
        given = [round(number * 2 ** 20) / 2 ** 20 for number in given or (0, 0)]
        quantisation = requantise.Quantisation(weights, a, a, *given, rounding)
        experts = oracle.Experts("real", 9, 2, 160, 96, activation=activation, bias=True,
                                 quantisation=quantisation)
        tokens = real.hidden_states(experts, 0, numpy.arange(3))
        ours = real.expert_output(experts, 1, tokens, numpy.arange(160))
        values, errors = self.outputs(quantisation, activation)
        scale = abs(values).max()
        numpy.testing.assert_allclose(ours.value, values, rtol=1e-9, atol=1e-12 * scale)
        numpy.testing.assert_allclose(ours.error, errors, rtol=1e-6)

    def test_every_scheme(self):
        for scheme in SCHEMES:
            for activation in ("silu", "swigluoai", "relu2_no_mul"):
                with self.subTest(scheme=scheme, activation=activation):
                    self.compare(scheme, activation)

    def test_every_rounding(self):
        for scheme in (SCHEMES[3], ("nvfp4", "nvfp4", 390.0, 1500.0)):
            for activation in ("silu", "gelu", "swigluoai", "relu2_no_mul", "silu_no_mul"):
                for rounding in ("once", "never"):
                    with self.subTest(scheme=scheme, activation=activation, rounding=rounding):
                        self.compare(scheme, activation, rounding)


class Schemes(unittest.TestCase):
    """What model.quantization may say to golden/make_golden.py."""

    def refusal(self, scheme):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "scenarios/one.yaml"
            path.parent.mkdir()
            path.write_text("name: one\nsteps: [[1]]\nmodel: {experts: 2, top_k: 1, hidden: 2, "
                            f"quantization: {scheme}}}\n")
            with self.assertRaises(world.ScenarioError) as refused:
                world.read_world(path, path.parent)
            return str(refused.exception)

    def test_the_table_is_the_layers(self):
        source = (ROOT / "backends/quant_schemes.h").read_text(encoding="utf-8")
        scheme = r'{"(\w+)"(?:, Q::(\w+), Q::(\w+))?(?:, ActivationRounding::(\w+))?}'
        rows = re.findall(scheme, source)
        layers = {name: (weights.replace("none", ""), activations.replace("none", ""))
                  for name, activations, weights, _ in rows}
        self.assertEqual(schemes.SCHEMES, layers)
        self.assertEqual(schemes.ROUNDINGS, {row[0]: row[3] for row in rows if row[3]})

    def test_refusals_name_every_scheme(self):
        said = self.refusal("fp9")
        for scheme in schemes.SCHEMES:
            self.assertIn(scheme, said)
        self.assertIn("int8_per_token needs values: real; possible with integers: none, fp8_static,"
                      " fp8_dynamic, fp8_per_token, fp8_block128, fp8_block128_deepep, mxfp8, "
                      "nvfp4, mxfp4, fp8_block128_fused, nvfp4_fused",
                      self.refusal("int8_per_token"))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
