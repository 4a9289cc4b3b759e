"""`push` against a real bare repository: what it commits, what it refuses, and where it goes."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from kustodian.delivery import push as stage
from kustodian.delivery.publish import Pushed
from kustodian.errors import ExitCode, GitError, Interrupted, KustodianError, PushRejected, RenderError, UsageError
from kustodian.validate import Report

from ..kit import program, within
from .conftest import SECRET, Site, application, config_map, git

pytestmark = pytest.mark.xdist_group("schemas")

OWN = "overlays/staging/own.yaml"


def refused(site: Site, env: str = "staging", message: str = "Change it") -> KustodianError:
    """The refusal of a push, which must leave everything as it was."""
    before = site.git("rev-parse", "HEAD"), site.git("branch", "--list"), site.status(), site.branches(), site.remote()
    with pytest.raises(KustodianError) as raised:
        site.try_push(env, message)
    after = site.git("rev-parse", "HEAD"), site.git("branch", "--list"), site.status(), site.branches(), site.remote()
    assert after == before
    return raised.value


# What is committed


def test_what_the_overlay_reads_is_committed_and_pushed(site: Site) -> None:
    site.write({OWN: config_map("own", "2")})
    pushed = site.push("staging", "Raise the value")
    assert pushed.commit == site.git("rev-parse", "HEAD") == site.remote()
    assert (pushed.branch, pushed.pull_request, pushed.changed) == ("main", False, True)
    assert (pushed.affected, pushed.protected, pushed.committed) == (("overlays/staging",), (), (OWN,))
    assert site.git("show", "--format=%s", "--name-only", "HEAD").split("\n\n") == ["Raise the value", OWN]
    assert site.status() == ""
    assert site.git("log", "-1", "--format=%an") == "Tester"


def test_new_deleted_and_staged_files_are_committed_alike(site: Site) -> None:
    site.write(
        {
            "overlays/staging/kustomization.yaml": "resources: [../../base, ../../base/more, new.yaml]\n",
            "overlays/staging/new.yaml": config_map("own", "2"),
            "base/more/kustomization.yaml": "resources: [m.yaml]\n",
            "base/more/m.yaml": config_map("more", "1"),
        }
    )
    site.git("rm", "--quiet", "overlays/staging/secrets.yaml")
    (site.root / OWN).unlink()
    (site.root / "overlays/staging/secret.sops.yaml").unlink()
    site.git("add", "overlays/staging/new.yaml")
    pushed = site.push("staging", "Rename")
    assert pushed.committed == (
        "base/more/kustomization.yaml",
        "base/more/m.yaml",
        "overlays/staging/kustomization.yaml",
        "overlays/staging/new.yaml",
        "overlays/staging/own.yaml",
        "overlays/staging/secret.sops.yaml",
        "overlays/staging/secrets.yaml",
    )
    assert site.status() == ""
    assert site.remote() == pushed.commit


def test_a_file_that_becomes_a_folder_is_committed_as_one(site: Site) -> None:
    (site.root / OWN).unlink()
    site.write({f"{OWN}/kustomization.yaml": "resources: [m.yaml]\n", f"{OWN}/m.yaml": config_map("own", "2")})
    pushed = site.push("staging", "Make room")
    assert pushed.committed == (OWN, f"{OWN}/kustomization.yaml", f"{OWN}/m.yaml")
    assert (site.status(), site.remote()) == ("", pushed.commit)


def test_a_file_that_is_staged_and_changed_again_is_committed_as_it_was_checked(site: Site) -> None:
    site.write({OWN: config_map("own", "staged")})
    site.git("add", OWN)
    site.write({OWN: config_map("own", "last")})
    site.push("staging", "Raise the value")
    assert "'last'" in git(site.origin, "show", f"main:{OWN}")
    assert site.status() == ""


def test_a_new_secret_is_pushed_encrypted(site: Site) -> None:
    site.repo.encrypt("overlays/staging/secret.sops.yaml", SECRET.replace("hunter2", "correct horse"))
    pushed = site.push("staging", "Rotate")
    assert pushed.affected == ("overlays/staging",)
    assert "ENC[" in git(site.origin, "show", "main:overlays/staging/secret.sops.yaml")
    assert b"correct horse" not in git(site.origin, "log", "--patch").encode()


def test_commits_that_wait_are_pushed_without_a_message(site: Site) -> None:
    commit = site.commit({OWN: config_map("own", "2")})
    pushed = site.push("staging")
    assert (pushed.commit, pushed.committed, site.remote()) == (commit, (), commit)


def test_where_nothing_changed_nothing_is_pushed(site: Site) -> None:
    pushed = site.push("staging", "Not needed")
    assert pushed == Pushed(site.destinations()["overlays/staging"], site.remote(), "main", changed=False)
    assert not site.push("production").pull_request


def test_names_are_taken_literally(site: Site) -> None:
    odd = "overlays/staging/[o]*n é.yaml"
    site.write(
        {"overlays/staging/kustomization.yaml": "resources: [../../base, '[o]*n é.yaml']\n", odd: config_map("a", "1")}
    )
    (site.root / OWN).unlink()
    for name in ("secrets.yaml", "secret.sops.yaml"):
        (site.root / "overlays/staging" / name).unlink()
    assert odd in site.push("staging", "-F odd: a message like an option").committed
    assert site.git("log", "-1", "--format=%s") == "-F odd: a message like an option"


# What is refused


def test_a_message_is_needed_where_there_is_something_to_commit(site: Site) -> None:
    site.write({OWN: config_map("own", "2")})
    error = refused(site, message=" ")
    assert isinstance(error, UsageError)
    assert error.message == f"there is something to commit, and no message: {OWN}"
    assert error.hint == "invoke push --env staging --message TEXT"


@pytest.mark.parametrize("staged", [True, False])
@pytest.mark.parametrize("path", ["README.md", "overlays/staging/notes.md", "overlays/production/own.yaml"])
def test_any_other_change_is_refused(site: Site, path: str, staged: bool) -> None:
    site.write({OWN: config_map("own", "2"), path: config_map("own", "3")})
    if staged:
        site.git("add", "--all")
    error = refused(site)
    assert isinstance(error, GitError)
    assert error.message == f"there are changes that overlays/staging does not read: {path}"


def test_of_many_other_changes_the_first_ten_are_named(site: Site) -> None:
    site.write({f"notes/{number:02}.md": "x" for number in range(12)})
    named = ", ".join(f"notes/{number:02}.md" for number in range(10))
    assert refused(site).message == f"there are changes that overlays/staging does not read: {named} and 2 more"


def test_a_file_that_is_deleted_and_was_not_read_is_another_change(site: Site) -> None:
    (site.root / "README.md").unlink()
    assert refused(site).message == "there are changes that overlays/staging does not read: README.md"


def test_a_decrypted_copy_is_another_change_and_never_committed(site: Site) -> None:
    site.write({OWN: config_map("own", "2"), "overlays/staging/secret.yaml": SECRET})
    assert refused(site).message.endswith("does not read: overlays/staging/secret.yaml")


def test_a_secret_in_the_open_is_a_finding_and_nothing_is_committed(site: Site) -> None:
    site.write({"overlays/staging/secret.sops.yaml": SECRET})
    before = site.remote()
    report = site.try_push("staging", "Forget to encrypt")
    assert isinstance(report, Report)
    assert report.exit_code is ExitCode.ERROR  # the render refuses it, too
    assert [finding.rule for finding in report.findings] == ["encrypted"]
    assert (site.remote(), site.git("rev-parse", "HEAD")) == (before, before)


def test_a_secret_that_only_the_history_holds_is_not_pushed(site: Site) -> None:
    site.commit({"overlays/staging/plain.yaml": SECRET}, "Oops")
    site.git("rm", "--quiet", "overlays/staging/plain.yaml")
    site.git("commit", "--quiet", "--message", "Take it away")
    error = refused(site)
    assert "overlays/staging/plain.yaml: the Secret holds `stringData.a` in plain text" in error.message
    assert "Oops (Tester, " in error.message
    assert "hunter2" not in str(error)


def test_a_secret_that_the_push_itself_encrypts_is_not_pushed_with_the_commit_that_held_it(site: Site) -> None:
    encrypted = (site.root / "overlays/staging/secret.sops.yaml").read_text()
    site.commit({"overlays/staging/secret.sops.yaml": SECRET}, "Oops")
    site.write({"overlays/staging/secret.sops.yaml": encrypted.replace("mac: ", "mac:  ")})
    error = refused(site)
    assert error.message.startswith("overlays/staging/secret.sops.yaml: ")
    assert "Oops (Tester, " in error.message
    assert "hunter2" not in str(error)


def test_a_finding_stops_the_push(site: Site) -> None:
    before = site.remote()
    site.write({OWN: config_map("own", "2") + "wrong: true\n"})
    report = site.try_push("staging", "Break it")
    assert isinstance(report, Report)
    assert report.exit_code is ExitCode.FINDINGS
    assert (site.remote(), site.git("rev-parse", "HEAD"), site.status()) == (before, before, f"M {OWN}")


def test_a_finding_in_another_environment_that_the_change_reaches_stops_the_push(site: Site) -> None:
    site.published(
        {
            "overlays/production/kustomization.yaml": "resources: [../../base]\npatches: [{path: p.yaml}]\n",
            "overlays/production/p.yaml": config_map("base", "p"),
        }
    )
    site.write({"base/map.yaml": config_map("other", "2")})
    report = site.try_push("staging", "Rename the base's map")
    assert isinstance(report, Report)
    failed = [checked.overlay.environment for checked in report.overlays if checked.errors]
    assert failed == ["production"]


def test_what_git_ignores_cannot_be_deployed(site: Site) -> None:
    site.published({".gitignore": "/build/\nlocal.yaml\n"})
    site.write(
        {
            "overlays/staging/kustomization.yaml": "resources: [../../base, local.yaml]\n",
            "overlays/staging/local.yaml": config_map("local", "1"),
        }
    )
    assert refused(site).message == "overlays/staging reads what git ignores: overlays/staging/local.yaml"


def test_what_lies_outside_cannot_be_deployed(site: Site, tmp_path: Path) -> None:
    (tmp_path / "outside.yaml").write_text(config_map("outside", "1"))
    site.write(
        {
            "kustodian.yaml": "argocd: {applications: argocd}\nprotected: [production]\nloadRestrictor: none\n",
            "overlays/staging/kustomization.yaml": "resources: [../../../outside.yaml]\n",
        }
    )
    assert refused(site).message == (
        f"overlays/staging reads what lies outside of the git repository: {tmp_path / 'outside.yaml'}"
    )


def test_a_change_that_is_hidden_from_git_is_noticed(site: Site) -> None:
    site.git("update-index", "--assume-unchanged", OWN)
    site.write({OWN: config_map("own", "hidden"), "base/map.yaml": config_map("base", "2")})
    site.published({"kustodian.yaml": "argocd: {applications: argocd}\n"})
    error = refused(site)
    assert isinstance(error, RenderError)
    assert error.message == "overlays/staging: what would be pushed is not what is here: it renders otherwise"


def test_the_middle_of_a_merge_is_no_time_to_push(site: Site) -> None:
    site.git("switch", "--quiet", "--create", "other")
    site.commit({OWN: config_map("own", "2")})
    site.git("switch", "--quiet", "main")
    site.commit({OWN: config_map("own", "3")})
    with pytest.raises(AssertionError):
        site.git("merge", "other")
    error = refused(site)
    assert error.message == f"a merge is in progress in {site.root}"
    assert error.hint == "end it first: git merge --continue, or git merge --abort"
    (site.root / ".git" / "MERGE_HEAD").unlink()  # what is left of it when it was ended wrongly
    assert refused(site).message == f"unresolved conflicts: {OWN}"


def test_another_branch_than_the_followed_one_is_refused(site: Site) -> None:
    site.git("switch", "--quiet", "--create", "topic")
    site.write({OWN: config_map("own", "2")})
    error = refused(site)
    assert error.message == "staging follows main of origin, but the branch topic is checked out"
    site.git("switch", "--quiet", "--detach")
    assert refused(site).message == "staging follows main of origin, but no branch is checked out"


def test_a_branch_that_moved_is_refused_and_the_newest_commit_named(site: Site, tmp_path: Path) -> None:
    other = site.colleague(tmp_path)
    git(other, "commit", "--quiet", "--allow-empty", "--message", "Be faster")
    git(other, "push", "--quiet")
    site.write({OWN: config_map("own", "2")})
    error = refused(site)
    assert error.message.startswith("main of origin has a commit that HEAD lacks; the newest: ")
    assert error.message.endswith("Be faster (Tester, " + site.git("log", "-1", "--format=%cs", site.remote()) + ")")
    assert error.hint.endswith("git pull --rebase origin main")


def test_an_overlay_that_nothing_deploys_is_refused(site: Site) -> None:
    site.published({"argocd/kustomization.yaml": "resources: [production.yaml]\n"})
    assert refused(site).message == (
        "overlays/staging: no Application in the render of argocd has this path as a source"
    )
    site.published({"kustodian.yaml": "protected: [production]\n"})
    assert refused(site).message == "overlays/staging: which Application deploys it is not known"


# Protected environments


def test_a_protected_environment_goes_by_pull_request(site: Site) -> None:
    before = site.remote()
    site.write({"overlays/production/own.yaml": config_map("own", "2")})
    pushed = site.push("production", "Raise it")
    name = f"production/{pushed.commit[:10]}"
    assert (pushed.branch, pushed.pull_request, pushed.protected) == (name, True, ("overlays/production",))
    assert (site.remote(), site.remote(name)) == (before, pushed.commit)
    assert site.git("rev-parse", "main") == before
    assert site.git("branch", "--show-current") == name
    assert site.status() == ""


def test_the_next_change_of_a_pull_request_goes_to_the_same_branch(site: Site) -> None:
    site.write({"overlays/production/own.yaml": config_map("own", "2")})
    first = site.push("production", "Raise it")
    site.write({"overlays/production/own.yaml": config_map("own", "3")})
    second = site.push("production", "Raise it more")
    assert second.branch == first.branch
    assert site.remote(first.branch) == second.commit
    again = site.push("production")
    assert (again.changed, again.pull_request, again.branch) == (False, True, first.branch)


def test_a_pull_request_from_a_branch_of_ones_own_has_its_name(site: Site) -> None:
    site.git("switch", "--quiet", "--create", "raise-it")
    site.write({"overlays/production/own.yaml": config_map("own", "2")})
    pushed = site.push("production", "Raise it")
    assert (pushed.branch, site.remote("raise-it")) == ("raise-it", pushed.commit)


def test_what_is_for_review_goes_to_no_branch_that_deploys_another_environment(site: Site) -> None:
    site.published({"argocd/staging.yaml": application("staging", site.origin.as_uri()).replace("main", "develop")})
    site.git("push", "--quiet", "origin", "main:develop")
    site.git("switch", "--quiet", "--create", "develop")
    before = site.remote("develop")
    site.write({"overlays/production/own.yaml": config_map("own", "2")})
    pushed = site.push("production", "Raise it")
    assert (pushed.branch, site.remote("develop")) == (f"production/{pushed.commit[:10]}", before)
    assert (site.git("branch", "--show-current"), site.git("rev-parse", "develop")) == (pushed.branch, before)


def test_a_base_that_a_protected_environment_reads_goes_by_pull_request(site: Site) -> None:
    before = site.remote()
    site.write({"base/map.yaml": config_map("base", "2")})
    pushed = site.push("staging", "Change the base")
    assert pushed.pull_request
    assert pushed.branch == f"staging/{pushed.commit[:10]}"
    assert (pushed.affected, pushed.protected) == (
        ("overlays/production", "overlays/staging"),
        ("overlays/production",),
    )
    assert site.remote() == before


def test_a_base_whose_change_does_not_show_in_the_protected_render_goes_directly(site: Site) -> None:
    site.write({"base/map.yaml": "# a remark\n" + config_map("base", "1"), OWN: config_map("own", "2")})
    pushed = site.push("staging", "Remark")
    assert (pushed.pull_request, pushed.affected) == (False, ("overlays/staging",))


def test_a_link_that_leads_elsewhere_is_a_change_of_the_protected_environment(site: Site) -> None:
    def lead_to(version: str) -> None:
        text = application("production", site.origin.as_uri()).replace("/base;", f"/base;/current;/{version};")
        site.write({"argocd/production.yaml": text})
        (site.root / "current").unlink(missing_ok=True)
        (site.root / "current").symlink_to(version)
        site.git("add", "--all")
        site.git("commit", "--quiet", "--message", f"Lead to {version}")

    for version in ("v1", "v2"):
        files = {"kustomization.yaml": "resources: [m.yaml]\n", "m.yaml": config_map("v", version)}
        site.write({f"{version}/{name}": text for name, text in files.items()})
    site.write({"overlays/production/kustomization.yaml": "resources: [../../base, ../../current]\n"})
    lead_to("v1")
    site.git("push", "--quiet", "origin", "main")
    lead_to("v2")
    pushed = site.push("staging")
    assert (pushed.protected, pushed.pull_request) == (("overlays/production",), True)


def test_a_change_cannot_lift_its_own_protection(site: Site) -> None:
    site.commit({"kustodian.yaml": "argocd: {applications: argocd}\n"})
    site.write({"overlays/production/own.yaml": config_map("own", "2")})
    assert site.push("production", "Sneak in").pull_request


def test_removing_a_protected_overlay_is_a_change_of_it(site: Site) -> None:
    site.write({"argocd/kustomization.yaml": "resources: [staging.yaml]\n"})
    site.git("rm", "--quiet", "-r", "overlays/production", "argocd/production.yaml")
    site.git("add", "argocd")
    site.git("commit", "--quiet", "--message", "Remove production")
    pushed = site.push("staging")
    assert (pushed.protected, pushed.pull_request) == (("overlays/production",), True)


def test_a_protected_environment_that_follows_another_branch_is_not_reached(site: Site) -> None:
    site.published(
        {"argocd/production.yaml": application("production", site.origin.as_uri()).replace("main", "release")}
    )
    site.write({"base/map.yaml": config_map("base", "2")})
    pushed = site.push("staging", "Change the base")
    assert (pushed.pull_request, pushed.affected) == (False, ("overlays/staging",))


def test_a_branch_named_like_the_environment_leaves_room_for_the_pull_request(site: Site) -> None:
    site.git("push", "--quiet", "origin", "main:production")
    site.write({"overlays/production/own.yaml": config_map("own", "2")})
    pushed = site.push("production", "Raise it")
    assert pushed.branch == f"production-{pushed.commit[:10]}"
    assert site.remote(pushed.branch) == pushed.commit


# Branches that are not there yet


def test_a_followed_branch_that_is_not_there_is_made(site: Site) -> None:
    site.published({"argocd/staging.yaml": application("staging", site.origin.as_uri()).replace("main", "live")})
    site.git("switch", "--quiet", "--create", "live")
    pushed = site.push("staging")
    assert (pushed.branch, site.remote("live")) == ("live", pushed.commit)
    assert pushed.affected == ("overlays/staging",)


def test_a_protected_environment_needs_a_branch_to_make_a_pull_request_for(site: Site) -> None:
    site.published({"argocd/production.yaml": application("production", site.origin.as_uri()).replace("main", "live")})
    error = refused(site, "production")
    assert error.message.startswith("live of origin does not exist yet, so that no pull request can be made for ")
    assert error.hint == "make it by hand once: git push origin HEAD:refs/heads/live"


# Others at work


def test_a_push_that_comes_second_keeps_the_commit_and_says_what_to_do(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = site.colleague(tmp_path)
    real = stage.commit_tree

    def overtaken(*arguments: object, **named: object) -> str:
        commit = real(*arguments, **named)  # type: ignore[arg-type]
        git(other, "commit", "--quiet", "--allow-empty", "--message", "Be faster")
        git(other, "push", "--quiet")
        return commit

    monkeypatch.setattr(stage, "commit_tree", overtaken)
    site.write({OWN: config_map("own", "2")})
    with pytest.raises(PushRejected) as raised:
        site.try_push("staging", "Raise it")
    commit = site.git("rev-parse", "HEAD")
    assert raised.value.message.startswith(
        f"somebody else pushed to main of origin meanwhile; your commit {commit[:10]} is kept on main"
    )
    assert raised.value.hint.startswith("git pull --rebase origin main")
    assert site.remote() == git(other, "rev-parse", "HEAD")
    monkeypatch.undo()
    site.git("pull", "--quiet", "--rebase", "origin", "main")
    assert site.push("staging").commit == site.remote()


def test_of_two_who_push_at_once_one_is_told_and_no_commit_is_lost(site: Site, tmp_path: Path) -> None:
    other = Site(site.colleague(tmp_path), site.origin, site.repo, site.kustomize, site.kubeconform, site.cache)
    outcomes: dict[str, object] = {}
    start = threading.Barrier(2)

    def run(who: Site, name: str) -> None:
        who.write({OWN: config_map("own", name)})
        start.wait()
        try:
            outcomes[name] = who.push("staging", f"By {name}")
        except GitError as error:
            outcomes[name] = error

    threads = [threading.Thread(target=run, args=pair) for pair in ((site, "one"), (other, "two"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [name for name, outcome in outcomes.items() if isinstance(outcome, Pushed)]
    assert len(winners) == 1
    (loser,) = {"one", "two"} - set(winners)
    assert "git pull --rebase origin main" in str(outcomes[loser])
    assert git(site.origin, "log", "--format=%s", "main").split("\n") == [f"By {winners[0]}", "Begin"]
    lost = {"one": site, "two": other}[loser]
    assert f"'{loser}'" in (lost.root / OWN).read_text()


def test_a_server_that_refuses_says_why(site: Site) -> None:
    program(site.origin / "hooks" / "pre-receive", "echo 'main is a protected branch' >&2\nexit 1\n")
    site.write({OWN: config_map("own", "2")})
    with pytest.raises(GitError) as raised:
        site.try_push("staging", "Raise it")
    assert not isinstance(raised.value, PushRejected)
    assert "origin refuses the push to main: [remote rejected] (pre-receive hook declined)" in raised.value.message
    assert "remote: main is a protected branch" in raised.value.message
    assert f"your commit {site.git('rev-parse', 'HEAD')[:10]} is kept on main" in raised.value.message
    assert raised.value.hint.startswith("list staging under `protected` in kustodian.yaml")


def meanwhile(site: Site, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    """Commit these files here, in another terminal, as soon as the checks are over."""
    real = stage._prove

    def proved(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]
        site.commit(files, "In another terminal")

    monkeypatch.setattr(stage, "_prove", proved)


def test_a_commit_that_is_made_here_meanwhile_is_not_taken_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before = site.remote()
    meanwhile(site, monkeypatch, {"README.md": "read me twice\n"})
    site.write({OWN: config_map("own", "2")})
    with pytest.raises(GitError) as raised:
        site.try_push("staging", "Raise it")
    assert raised.value.message.startswith(f"HEAD was {before[:10]} when the checks began, and now is ")
    assert (site.git("log", "-1", "--format=%s"), site.remote()) == ("In another terminal", before)
    assert (site.git("show", "HEAD:README.md"), site.status()) == ("read me twice", f"M {OWN}")


def test_a_commit_that_is_made_here_meanwhile_is_not_pushed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = site.commit({OWN: config_map("own", "2")})
    meanwhile(site, monkeypatch, {OWN: "nonsense"})
    assert site.push("staging").commit == checked == site.remote()


# Hooks


def test_a_hook_that_refuses_leaves_everything_as_it_was(site: Site) -> None:
    program(site.root / ".git" / "hooks" / "pre-commit", "echo 'not today' >&2\nexit 1\n")
    site.write(
        {
            "overlays/staging/kustomization.yaml": "resources: [../../base, own.yaml, new.yaml]\n",
            "overlays/staging/new.yaml": config_map("new", "1"),
        }
    )
    site.git("rm", "--quiet", "overlays/staging/secrets.yaml", "overlays/staging/secret.sops.yaml")
    assert refused(site).message == "git does not commit: not today"


def test_a_hook_that_changes_what_is_committed_stops_the_push(site: Site) -> None:
    before = site.remote()
    program(site.root / ".git" / "hooks" / "pre-commit", f"sed -i s/2/3/ {OWN}\ngit add {OWN}\n")
    site.write({OWN: config_map("own", "2")})
    with pytest.raises(GitError) as raised:
        site.try_push("staging", "Raise it")
    assert "holds something else than what was checked" in raised.value.message
    assert site.remote() == before
    (site.root / ".git" / "hooks" / "pre-commit").unlink()
    assert site.push("staging").commit == site.remote()


# Ctrl-C


def interrupted_while(hook: Path, site: Site) -> BaseException:
    """What comes of a push while whose hook somebody presses Ctrl-C."""
    mark = site.root.parent / "hook-runs"
    program(hook, f"touch {mark}\nsleep 30\n")

    def press() -> None:
        assert within(30, mark.exists)
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=press)
    watcher.start()
    with pytest.raises((KeyboardInterrupt, Interrupted)) as raised:
        site.try_push("staging", "Raise it")
    watcher.join()
    hook.unlink()
    return raised.value


def test_an_interrupted_commit_leaves_nothing_locked_and_the_change_where_it_was(site: Site) -> None:
    before = site.remote()
    site.write({OWN: config_map("own", "2")})
    interrupted_while(site.root / ".git" / "hooks" / "pre-commit", site)
    assert (site.git("rev-parse", "HEAD"), site.remote(), site.status().split()) == (before, before, ["M", OWN])
    assert not (site.root / ".git" / "index.lock").exists()
    assert site.push("staging", "Raise it").commit == site.remote()


def test_an_interrupted_push_keeps_the_commit(site: Site) -> None:
    before = site.remote()
    site.write({OWN: config_map("own", "2")})
    interrupted = interrupted_while(site.root / ".git" / "hooks" / "pre-push", site)
    commit = site.git("rev-parse", "--short=10", "HEAD")
    assert str(interrupted) == (
        f"interrupted; your commit {commit} is kept, and may be at main of origin already\n"
        "  → to have it there: invoke push --env staging"
    )
    assert (site.git("log", "-1", "--format=%s"), site.remote(), site.status()) == ("Raise it", before, "")
    assert site.push("staging").commit == site.remote()


# A trial cluster


@pytest.fixture
def trial(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bare repository of a trial cluster that is up."""
    from kustodian.cluster import state

    bare = tmp_path / "trial.git"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=trial", bare)
    up = state.State(tmp_path, 1, tmp_path, "https://127.0.0.1:1", tmp_path, bare.as_uri(), "trial")
    monkeypatch.setattr(state, "read", lambda _root: up)
    return bare


def test_with_a_trial_cluster_any_branch_goes_there_and_nowhere_else(site: Site, trial: Path) -> None:
    before = site.branches(), site.remote()
    site.git("switch", "--quiet", "--create", "topic")
    site.write({OWN: config_map("own", "2")})
    first = site.push("staging", "Try it")
    assert (first.destination.trial, first.branch, first.pull_request) == (True, "trial", False)
    assert git(trial, "rev-parse", "trial") == first.commit
    site.git("switch", "--quiet", "main")  # another line of commits
    site.write({"overlays/production/own.yaml": config_map("own", "2")})
    second = site.push("production", "Try that")
    assert (second.pull_request, git(trial, "rev-parse", "trial")) == (False, second.commit)
    assert (site.branches(), site.remote()) == before
    assert git(trial, "for-each-ref", "--format=%(refname)") == "refs/heads/trial"
    assert not site.push("production").changed
