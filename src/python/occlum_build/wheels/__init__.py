import warnings

# packaging 21.3, which Pants 2.17 has, calls pyparsing by names that newer ones warn of.
warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"packaging\.")
