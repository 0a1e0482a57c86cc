"""A lexicon of mathematics and logic as worked problems speak of them: words and phrases by subject, chosen by hand.

Between commas; a phrase keeps its spaces. A word that belongs to two subjects stands in the first.
"""

SUBJECTS = {
    "operations": """
        add, addition, plus, sum, total, subtract, subtraction, minus, difference, take away, multiply, multiplication,
        times, product, divide, division, divided by, quotient, remainder, carry, borrow, increase, decrease, double,
        triple, halve, square, cube, root, square root, power, exponent, factor, multiple, round, round up, round down,
        estimate, calculate, compute, solve, simplify, substitute, evaluate, count, combine, split, share, distribute,
        scale, convert, modulo, inverse, negative, positive, absolute value, factorial, logarithm
    """,
    "numbers": """
        zero, one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen, fourteen, fifteen,
        sixteen, seventeen, eighteen, nineteen, twenty, thirty, forty, fifty, sixty, seventy, eighty, ninety, hundred,
        thousand, million, billion, first, second, third, fourth, fifth, last, once, twice, dozen, pair, couple, single,
        number, digit, integer, whole number, decimal, even, odd, prime, infinity, pi
    """,
    "fractions": """
        half, quarter, fraction, numerator, denominator, tenth, hundredth, percent, percentage, ratio, proportion, rate,
        part, whole, portion, share of, per, out of, average, mean, median, mode, probability, chance, odds
    """,
    "comparison": """
        equal, equals, same, different, more, less, fewer, greater, smaller, larger, bigger, most, least, more than,
        less than, greater than, at least, at most, exactly, approximately, about, nearly, almost, between, maximum,
        minimum, highest, lowest, longer, shorter, older, younger, taller, heavier, lighter, faster, slower, cheaper,
        before, after, next, previous, compare, enough, left over, remaining, extra, missing, rest
    """,
    "logic": """
        and, or, not, if, then, else, unless, only if, if and only if, because, therefore, thus, hence, so, since,
        although, but, however, otherwise, either, neither, nor, both, all, every, each, any, some, none, no, never,
        always, must, cannot, possible, impossible, necessary, sufficient, true, false, yes, implies, contradiction,
        condition, case, exception, statement, premise, conclusion, assumption, consistent, valid, invalid
    """,
    "proof": """
        proof, prove, theorem, lemma, axiom, definition, hypothesis, conjecture, assume, suppose, let, given, show,
        verify, check, deduce, infer, follow, conclude, counterexample, induction, example, step, reason, argument,
        explain, answer, question, problem, solution, result, correct, incorrect, right, wrong, mistake, error
    """,
    "algebra and sets": """
        variable, unknown, constant, equation, expression, inequality, formula, function, coefficient, term, polynomial,
        linear, quadratic, graph, slope, set, element, member, subset, union, intersection, empty, sequence, series,
        pattern, order, permutation, combination, matrix, vector
    """,
    "shapes": """
        point, line, angle, triangle, rectangle, circle, side, edge, corner, length, width, height, depth, area,
        perimeter, volume, radius, diameter, circumference, surface, distance, straight, parallel, perpendicular, degree
    """,
    "measures": """
        meter, metre, centimeter, millimeter, kilometer, inch, foot, feet, yard, mile, gram, kilogram, pound, ounce,
        ton, liter, litre, milliliter, gallon, quart, pint, cup, speed, weight, size, temperature, miles per hour, unit
    """,
    "time": """
        second hand, minute, hour, day, week, weekend, month, year, decade, century, morning, noon, afternoon, evening,
        night, midnight, today, tomorrow, yesterday, Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday,
        January, December, clock, time, daily, weekly, monthly, yearly, early, late, ago, later, until, during, age, old
    """,
    "money": """
        money, dollar, dollars, cent, cents, penny, nickel, dime, euro, price, cost, pay, paid, spend, spent, earn,
        earned, save, saved, savings, buy, bought, sell, sold, worth, value, discount, sale, tax, tip, fee, bill,
        salary, wage, income, profit, loss, debt, loan, interest, budget, bank, cheap, expensive, free, bet, win, lose,
        gain
    """,
    "change and groups": """
        give, gave, get, got, receive, lose some, find, found, start, begin, end, finish, remain, leave, left, keep,
        return, grow, shrink, rise, fall, change, become, make, made, use, need, have, hold, fill, empty out, group,
        team, class, box, bag, basket, row, column, stack, list, table, people, children, students, friends, together,
        altogether, in total, in all, everyone, nobody, another, other, separate, apart
    """,
}


def maths_words() -> list[str]:
    """The words and phrases of all subjects, in their order, each once."""
    found = (" ".join(word.split()) for text in SUBJECTS.values() for word in text.split(","))
    return list(dict.fromkeys(found))
