"""`rollback` against a real bare repository: the bytes come back, by a commit, and nothing else changes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from kustodian.cluster import state
from kustodian.delivery import rollback as stage
from kustodian.delivery.rollback import RolledBack
from kustodian.errors import ExitCode, GitError, KustodianError, RenderError, UsageError
from kustodian.git import Git
from kustodian.validate import Report

from ..kit import program
from .conftest import SECRET, Site, application, config_map, git

pytestmark = pytest.mark.xdist_group("schemas")

OWN = "overlays/staging/own.yaml"
STAGING = "overlays/staging/kustomization.yaml"


def refused(site: Site, *revisions: str, env: str = "staging", to: str = "", shared: bool = False) -> KustodianError:
    """The refusal of a rollback, which must leave everything as it was."""
    before = site.git("rev-parse", "HEAD"), site.git("branch", "--list"), site.status(), site.branches(), site.remote()
    with pytest.raises(KustodianError) as raised:
        site.try_rollback(env, *revisions, to=to, shared=shared)
    after = site.git("rev-parse", "HEAD"), site.git("branch", "--list"), site.status(), site.branches(), site.remote()
    assert after == before
    return raised.value


def test_the_newest_state_that_renders_otherwise_comes_back_byte_for_byte(site: Site) -> None:
    first = site.remote()
    second = site.published({OWN: config_map("own", "2")}, "Two")
    healthy = site.render("staging")
    remark = site.published({OWN: "# three soon\n" + config_map("own", "2")}, "Remark")
    third = site.published({OWN: config_map("own", "3"), "overlays/staging/note.md": "three"}, "Three")
    result = site.rollback("staging", first, second, remark, third)
    assert result.target.id == remark  # renders as `second` does, and is newer
    assert site.render("staging") == healthy
    assert result.files == ("overlays/staging/note.md", OWN)
    assert (result.before.id, result.others) == (third, ())
    assert result.pushed is not None
    assert site.remote() == site.git("rev-parse", "HEAD") == result.pushed.commit
    assert (result.pushed.branch, result.pushed.pull_request, result.pushed.affected) == (
        "main",
        False,
        ("overlays/staging",),
    )
    message = site.git("log", "-1", "--format=%B")
    assert message.startswith(f"Roll overlays/staging back to {remark[:10]}\n")
    assert remark in message
    assert third in message
    assert site.status() == ""
    assert not (site.root / "overlays/staging/note.md").exists()


def test_what_others_have_pushed_meanwhile_stays(site: Site) -> None:
    first = site.remote()
    site.published({OWN: config_map("own", "2")})
    site.published({"README.md": "more\n", "overlays/production/own.yaml": config_map("own", "9")})
    production = site.render("production")
    result = site.rollback("staging", first, site.remote())
    assert result.files == (OWN,)
    assert (site.root / "README.md").read_text() == "more\n"
    assert site.render("production") == production


def test_files_that_were_added_deleted_and_renamed_since_come_back(site: Site) -> None:
    first, healthy = site.remote(), site.render("staging")
    site.git("mv", OWN, "overlays/staging/renamed.yaml")
    site.git("rm", "--quiet", "overlays/staging/secrets.yaml", "overlays/staging/secret.sops.yaml")
    site.published(
        {
            STAGING: "resources: [../../base, renamed.yaml, sub]\n",
            "overlays/staging/sub/kustomization.yaml": "resources: [m.yaml]\n",
            "overlays/staging/sub/m.yaml": config_map("sub", "1"),
        }
    )
    site.rollback("staging", first, site.remote())
    assert site.render("staging") == healthy
    assert site.git("diff", "--stat", first, "HEAD") == ""


def test_a_file_that_became_a_folder_becomes_a_file_again(site: Site) -> None:
    first, healthy = site.remote(), site.render("staging")
    site.git("rm", "--quiet", OWN)
    site.published(
        {
            STAGING: "resources: [../../base, own.yaml]\ngenerators: [secrets.yaml]\n",
            f"{OWN}/kustomization.yaml": "resources: [m.yaml]\n",
            f"{OWN}/m.yaml": config_map("own", "2"),
        }
    )
    site.rollback("staging", first, site.remote())
    assert site.render("staging") == healthy


def test_a_secret_comes_back_with_its_ciphertext(site: Site) -> None:
    first, healthy = site.remote(), site.render("staging")
    path = "overlays/staging/secret.sops.yaml"
    site.repo.encrypt(path, SECRET.replace("hunter2", "correct horse"))
    site.git("commit", "--quiet", "--all", "--message", "Rotate")
    site.git("push", "--quiet", "origin", "main")
    assert site.render("staging") != healthy
    site.rollback("staging", first, site.remote())
    assert site.render("staging") == healthy
    assert site.git("rev-parse", f"HEAD:{path}") == site.git("rev-parse", f"{first}:{path}")


def test_a_revision_can_be_named(site: Site) -> None:
    first = site.remote()
    site.published({OWN: config_map("own", "2")})
    site.published({OWN: config_map("own", "3")})
    result = site.rollback("staging", to=first[:12])
    assert (result.target.id, result.target.subject) == (first, "Begin")
    assert site.git("diff", "--stat", first, "HEAD") == ""
    assert site.rollback("staging", to="HEAD~1").target.id == site.git("rev-parse", "HEAD~2")


def test_where_head_is_at_the_state_already_nothing_is_done(site: Site) -> None:
    first = site.remote()
    site.published({"README.md": "more\n"})
    result = site.rollback("staging", to=first)
    assert result == RolledBack(result.target, result.before)
    assert site.git("log", "-1", "--format=%s") == "A change"


def test_a_state_at_head_that_does_not_render_is_no_obstacle(site: Site) -> None:
    first, healthy = site.remote(), site.render("staging")
    site.published({STAGING: "resources: [gone.yaml]\n"})
    site.rollback("staging", first)
    assert site.render("staging") == healthy


# Shared files


def test_files_that_are_not_its_own_go_back_only_when_that_is_meant(site: Site) -> None:
    first = site.remote()
    healthy, production = site.render("staging"), site.render("production")
    site.published({"base/map.yaml": config_map("base", "2")})
    error = refused(site, first, site.remote())
    assert isinstance(error, UsageError)
    assert error.message == (
        f"overlays/staging: the state of {first[:10]} needs files back that are not its own: base/map.yaml; "
        "this changes the renders of overlays/production"
    )
    assert error.hint == "if that is meant: invoke rollback --env staging --shared"
    assert refused(site, to=first).hint.endswith(f"rollback --env staging --to {first[:10]} --shared")
    result = site.rollback("staging", first, site.remote(), shared=True)
    assert (result.files, result.others) == (("base/map.yaml",), ("overlays/production",))
    assert (site.render("staging"), site.render("production")) == (healthy, production)
    assert result.pushed is not None
    assert (result.pushed.pull_request, result.pushed.protected) == (True, ("overlays/production",))


def test_shared_files_of_no_other_environment_are_named_as_well(site: Site) -> None:
    annotated = application("staging", site.origin.as_uri()).replace("/base;", "/base;/components/c;")
    component = "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\nresources: [m.yaml]\n"
    first = site.published(
        {
            "argocd/staging.yaml": annotated,
            STAGING: "resources: [../../base]\ncomponents: [../../components/c]\n",
            "components/c/kustomization.yaml": component,
            "components/c/m.yaml": config_map("c", "1"),
        }
    )
    site.published({"components/c/m.yaml": config_map("c", "2"), OWN: config_map("own", "2")})
    error = refused(site, first, site.remote())
    assert "not its own: components/c/m.yaml; no other environment's render changes" in error.message
    result = site.rollback("staging", first, site.remote(), shared=True)
    assert (result.files, result.others) == (("components/c/m.yaml", OWN), ())
    assert result.pushed is not None
    assert not result.pushed.pull_request


def test_shared_files_that_came_since_and_others_need_stay(site: Site) -> None:
    first, healthy = site.remote(), site.render("staging")
    site.published(
        {
            "base/kustomization.yaml": "resources: [map.yaml, new.yaml]\n",
            "base/new.yaml": config_map("new", "1"),
        }
    )
    result = site.rollback("staging", first, shared=True)
    assert result.files == ("base/kustomization.yaml",)
    assert (site.root / "base/new.yaml").exists()
    assert site.render("staging") == healthy


def test_an_overlay_that_another_builds_on_changes_that_one_too(site: Site) -> None:
    first = site.published(
        {
            "overlays/production/kustomization.yaml": "resources: [../staging]\n",
            "argocd/production.yaml": application("production", site.origin.as_uri()).replace(
                "/base;", "/base;/overlays/staging;"
            ),
        }
    )
    site.published({OWN: config_map("own", "2")})
    assert refused(site, first).message == (
        f"overlays/staging: the state of {first[:10]} changes other environments; "
        "this changes the renders of overlays/production"
    )


# What is refused


def test_a_history_without_another_state_is_said_to_be_one(site: Site) -> None:
    error = refused(site, site.remote(), site.remote())
    assert isinstance(error, UsageError)
    assert error.message == "overlays/staging: Argo CD's history has no state that differs from the one at HEAD"
    assert "invoke rollback --env staging --to REVISION" in error.hint
    assert refused(site).message == error.message


@pytest.mark.parametrize("revision", ["0123456789012345678901234567890123456789", "no-such", "--all", ""])
def test_a_revision_that_is_not_here_is_named(site: Site, revision: str) -> None:
    error = refused(site, revision) if not revision else refused(site, to=revision)
    assert isinstance(error, UsageError)
    assert error.message == f"there is no commit {revision} in this clone"


def test_a_revision_before_the_overlay_is_named(site: Site) -> None:
    first = site.remote()
    site.published(
        {
            "overlays/new/kustomization.yaml": "resources: [../../base]\n",
            "argocd/new.yaml": application("new", site.origin.as_uri()),
            "argocd/kustomization.yaml": "resources: [staging.yaml, production.yaml, new.yaml]\n",
        }
    )
    error = refused(site, env="new", to=first)
    assert isinstance(error, UsageError)
    assert error.message.startswith(f"overlays/new does not exist at {first[:10]} Begin (Tester, ")


def test_a_revision_that_does_not_render_is_named(site: Site) -> None:
    broken = site.published({STAGING: "resources: [gone.yaml]\n"}, "Break it")
    site.published({STAGING: "resources: [../../base]\n"})
    error = refused(site, broken, site.remote())
    assert isinstance(error, RenderError)
    assert error.message.startswith(f"overlays/staging does not render at {broken[:10]} Break it (Tester, ")


def test_uncommitted_changes_are_refused(site: Site) -> None:
    first = site.remote()
    site.published({OWN: config_map("own", "2")})
    site.write({"notes.txt": "mine"})
    assert refused(site, first).message == "there are uncommitted changes: notes.txt"


def test_commits_that_are_not_pushed_are_not_published_along(site: Site) -> None:
    first = site.published({OWN: config_map("own", "2")})
    site.commit({"README.md": "mine"}, "Not ready")
    error = refused(site, first)
    assert error.message.startswith("HEAD has commits that main of origin lacks, and the rollback would publish them")
    assert "Not ready (Tester, " in error.message
    assert error.hint.endswith(f"git branch kept && git reset --keep {first[:10]}")


def test_the_first_commits_of_a_branch_are_searched_for_secrets_too(site: Site) -> None:
    first = site.published({OWN: config_map("own", "2")})
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: plain-text}\n"
    site.commit({"overlays/staging/s.yaml": secret}, "In the open")
    site.git("rm", "--quiet", "overlays/staging/s.yaml")
    site.git("commit", "--quiet", "--message", "Not any more")
    site.published({OWN: config_map("own", "3")})
    git(site.origin, "update-ref", "-d", "refs/heads/main")
    with pytest.raises(KustodianError) as raised:
        site.try_rollback("staging", to=first)
    assert "in a commit that would be pushed" in raised.value.message
    assert "plain-text" not in str(raised.value)
    assert site.branches() == set()


def test_a_branch_that_moved_and_another_branch_are_refused(site: Site) -> None:
    first = site.remote()
    site.published({OWN: config_map("own", "2")})
    site.git("switch", "--quiet", "--create", "topic")
    assert refused(site, first).message == "staging follows main of origin, but the branch topic is checked out"
    site.git("switch", "--quiet", "main")
    site.git("reset", "--quiet", "--keep", first)
    assert refused(site, first).message.startswith("main of origin has a commit that HEAD lacks; the newest: ")


def test_an_old_state_that_breaks_a_rule_is_a_report_and_nothing_is_touched(site: Site) -> None:
    first = site.published({OWN: config_map("own", "1") + "wrong: true\n"})
    site.published({OWN: config_map("own", "2")})
    before = site.git("rev-parse", "HEAD")
    report = site.try_rollback("staging", first, before)
    assert isinstance(report, Report)
    assert report.exit_code is ExitCode.FINDINGS
    assert [finding.file for finding in report.findings] == [OWN]
    assert (site.git("rev-parse", "HEAD"), site.remote(), site.status()) == (before, before, "")


def test_a_hook_that_refuses_leaves_the_files_as_they_were(site: Site) -> None:
    first = site.remote()
    site.published(
        {
            OWN: config_map("own", "2"),
            "overlays/staging/new.md": "new",
            "overlays/staging/kustomization.yaml": "resources: [../../base, own.yaml]\n",
        }
    )
    program(site.root / ".git" / "hooks" / "pre-commit", "echo 'not today' >&2\nexit 1\n")
    assert refused(site, first, site.remote()).message == "git does not commit: not today"


def test_an_interruption_between_the_files_and_the_commit_leaves_them_as_they_were(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = site.remote()
    before = site.published({OWN: config_map("own", "2")})

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "commit_tree", interrupt)
    with pytest.raises(KeyboardInterrupt):
        site.try_rollback("staging", first, before)
    assert (site.status(), site.git("rev-parse", "HEAD"), site.remote()) == ("", before, before)


@pytest.mark.parametrize("committed", [True, False])
def test_what_is_changed_here_during_the_checks_is_kept(
    site: Site, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    first = site.remote()
    before = site.published({OWN: config_map("own", "2")})
    real = stage._checked

    def checked(*arguments: object) -> Report:
        report = real(*arguments)  # type: ignore[arg-type]
        site.write({OWN: config_map("own", "3")})
        if committed:
            site.commit({OWN: config_map("own", "3")})
        return report

    monkeypatch.setattr(stage, "_checked", checked)
    with pytest.raises(GitError) as raised:
        site.try_rollback("staging", first, before)
    assert raised.value.message.startswith("HEAD was " if committed else "there are uncommitted changes: ")
    assert (site.root / OWN).read_text() == config_map("own", "3")
    assert site.remote() == before


# Protected environments, and others at work


def test_a_protected_environment_is_rolled_back_by_pull_request(site: Site) -> None:
    first, healthy = site.remote(), site.render("production")
    before = site.published({"overlays/production/own.yaml": config_map("own", "2")})
    result = site.rollback("production", first, before)
    assert result.pushed is not None
    name = f"production/{result.pushed.commit[:10]}"
    assert (result.pushed.pull_request, result.pushed.branch) == (True, name)
    assert (site.remote(), site.git("rev-parse", "main")) == (before, before)
    assert (site.remote(name), site.git("branch", "--show-current")) == (result.pushed.commit, name)
    assert site.render("production") == healthy


def test_of_two_who_roll_back_at_once_one_is_told_and_the_state_is_the_healthy_one(site: Site) -> None:
    first, healthy = site.remote(), site.render("staging")
    site.published({OWN: config_map("own", "2")})
    other = Site(site.colleague(site.root.parent), site.origin, site.repo, site.kustomize, site.kubeconform, site.cache)
    errors: list[KustodianError] = []
    start = threading.Barrier(2)

    def run(who: Site) -> None:
        start.wait()
        try:
            who.rollback("staging", first, who.remote())
        except GitError as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(who,)) for who in (site, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The same tree, parent, author and second make the same commit, which both may push.
    assert len(errors) <= 1
    assert all("git pull --rebase origin main" in error.hint for error in errors)
    site.git("fetch", "--quiet", "origin")
    site.git("reset", "--quiet", "--hard", "origin/main")
    assert site.render("staging") == healthy
    assert len(Git(site.root).between(first, "HEAD")) == 2


def test_in_a_trial_cluster_it_is_the_trials_branch_that_goes_back(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "trial.git"
    git(tmp_path, "init", "--quiet", "--bare", bare)
    up = state.State(tmp_path, 1, tmp_path, "https://127.0.0.1:1", tmp_path, bare.as_uri(), "trial")
    monkeypatch.setattr(state, "read", lambda _root: up)
    first, healthy = site.remote(), site.render("production")
    site.push("production")
    site.write({"overlays/production/own.yaml": config_map("own", "2")})
    second = site.push("production", "Two").commit
    result = site.rollback("production", first, second)
    assert site.render("production") == healthy
    assert result.pushed is not None
    assert not result.pushed.pull_request
    assert git(bare, "rev-parse", "trial") == result.pushed.commit
    assert site.remote() == first
