from rbee_worker.engine.drafts import GUESSES_MAX, Drafts, GuessCosts


def test_what_followed_the_last_time_is_guessed() -> None:
    drafts = Drafts([1, 2, 3, 4, 5, 9, 1, 2])
    assert drafts.guess([3], 2) == [4, 5]
    assert drafts.guess([3, 7], 2) == []
    assert drafts.guess([3, 7, 1, 2, 3], 3) == [7, 1, 2]  # the newest place counts


def test_a_text_without_repeats_is_not_guessed() -> None:
    drafts = Drafts([1, 2])
    assert [drafts.guess(list(range(3, end)), 4) for end in range(3, 20)] == [[]] * 17


def test_guesses_that_come_true_are_believed_more_and_others_less() -> None:
    drafts = Drafts([1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3])
    begin = drafts.hit_rate
    drafts.guess([], 4)
    drafts.guess([4, 5, 6, 7], 1)
    assert drafts.hit_rate > begin
    wrong = Drafts([1, 2, 3, 4, 5, 1, 2, 3])
    wrong.guess([], 4)
    wrong.guess([9], 4)
    assert wrong.hit_rate < begin


def test_how_many_guesses_pay_follows_from_hits_and_costs() -> None:
    costs = GuessCosts()
    counts = [costs.best_count(rate) for rate in (0.0, 0.3, 0.7, 0.9, 1.0)]
    assert counts[0] == counts[1] == 0
    assert counts == sorted(counts)
    assert counts[-1] == GUESSES_MAX
    for _ in range(200):
        costs.learn(1, 0.010)
        costs.learn(5, 0.060)  # as dear as one after the other
    assert costs.best_count(0.95) == 0
