"""`python -m demo`: Ctrl-C ends it in one line at any time, while it still loads as well."""

import sys

from demo import interrupt

try:
    interrupt.listen()
    from demo.run import main

    code = main()
except KeyboardInterrupt:
    print("interrupted; everything that was started has been ended")
    code = 130
sys.exit(code)
