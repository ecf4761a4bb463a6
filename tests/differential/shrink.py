"""Makes a failing program smaller while it still fails."""
import copy

import runner


def cone(program, output):
    """The program reduced to what `output` needs."""
    needed, steps = {output}, []
    for step in reversed(program.steps):
        if step[0] in needed:
            steps.append(step)
            needed.update(a[1] for a in step[2] if isinstance(a, tuple))
    smaller = copy.copy(program)
    smaller.steps = steps[::-1]
    smaller.inputs = {name: entry for name, entry in program.inputs.items() if name in needed}
    smaller.outputs = [output]
    return smaller


def with_step_as_input(program, position):
    """The step's value, as NumPy has it, read from a file instead of computed."""
    name = program.steps[position][0]
    value = program.values[name]
    if not value.known or name in program.outputs:
        return None
    smaller = copy.copy(program)
    smaller.inputs, smaller.values = dict(program.inputs), dict(program.values)
    smaller.add_input(f"{name}", value.array, [-1] * value.array.ndim)
    smaller.steps = program.steps[:position] + program.steps[position + 1:]
    return cone(smaller, program.outputs[0])


def shrink(program):
    """The smallest failing program found, and its verdict."""
    best, verdict = program, runner.run([program])[0]
    for output in program.outputs:
        candidate = cone(program, output)
        found = runner.run([candidate])[0]
        if found:
            best, verdict = candidate, found
            break
    progress = True
    while progress:
        progress = False
        for position in range(len(best.steps)):
            candidate = with_step_as_input(best, position)
            found = candidate and runner.run([candidate])[0]
            if found:
                best, verdict, progress = candidate, found, True
                break
    return best, verdict
