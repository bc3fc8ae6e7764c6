# Checks made with tools beyond the toolchain's own, and what they need installed. Sourced by `.ci/run`.

# The last line of a check: what it counted, for the summary.
figure() { printf 'figure: %s\n' "$*"; }

# Ends a check that cannot be made here, and says why.
skip() {
  printf 'skipped: %s\n' "$*"
  exit 0
}

# A cargo subcommand, built without optimisation: it is used once.
cargo_tool() {
  local name=$1 version=$2
  [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/$name" ] && return
  nice -n 5 cargo install --quiet --locked --debug --target-dir target/tools --version "$version" "$name" ||
    skip "$name $version cannot be installed here"
}

# A package of Debian's.
debian_package() {
  dpkg -s "$1" >/dev/null 2>&1 && return
  { apt-get update -qq && apt-get install -qq -y "$1"; } >/dev/null 2>&1 || skip "the package $1 cannot be installed here"
}

SANITIZED_TARGET=x86_64-unknown-linux-gnu

# Runs a command for one sanitizer, on the stable toolchain. All code has the switches of the sabotages, so that one
# build serves the check and its control; collection is eager and nodes are small, so that errors show soon.
sanitized() {
  local sanitizer=$1
  shift
  local flags="-Zsanitizer=$sanitizer -Cunsafe-allow-abi-mismatch=sanitizer"
  flags="$flags --cfg crossbeam_sanitize --cfg tiny_nodes --cfg busted --cfg asan_poison"
  # Generic code of the standard library is instrumented where it is compiled here.
  [ "$sanitizer" = address ] || flags="${flags% --cfg asan_poison} --cfg tsan -Zshare-generics=no"
  [ "$(uname -m)" = x86_64 ] || skip "sanitizers are set up for $SANITIZED_TARGET only"
  RUSTC_BOOTSTRAP=1 RUSTFLAGS="$flags" CARGO_TARGET_DIR="target/$sanitizer" CARGO_PROFILE_DEV_DEBUG=1 "$@"
}

# Runs a program that must die of a report that matches; it may take several attempts to meet the planted error.
must_report() {
  local report=$1 output attempt
  shift
  for attempt in 1 2 3 4 5 6; do
    output=$(timeout 120 "$@" 2>&1) && continue
    if grep -qE "$report" <<<"$output"; then
      printf 'caught at attempt %d: %s\n' "$attempt" "$(grep -m 1 -E "$report" <<<"$output")"
      return
    fi
  done
  printf '%s\n' "$output" | tail -n 20
  echo "expected a report of '$report' from: $*"
  return 1
}

# AddressSanitizer and LeakSanitizer over all tests but those that count calls of the allocator, which eager collection
# makes more.
asan() {
  local log passed races tests=(--lib)
  share_jemalloc
  for name in it sections allocation_failure allocation_storm balance forgotten races; do tests+=(--test "$name"); done
  log=$(mktemp)
  sanitized address cargo test --locked -p notifier-index "${tests[@]}" --target $SANITIZED_TARGET --no-fail-fast 2>&1 |
    tee "$log"
  passed=$(awk '/^test result: ok/ {passed += $4} END {print passed + 0}' "$log")
  [ "$passed" -gt 150 ] || { echo "only $passed tests ran"; return 1; }
  races=$(sed -n 's/.*Running tests\/races.rs (\(.*\))/\1/p' "$log")
  BUSTED=early_free must_report 'AddressSanitizer: (use-after-poison|heap-use-after-free)' "$races"
  figure "$passed tests and races, 0 reports, 0 leaks; planted use after free reported"
}

# ThreadSanitizer over `races` and all tests that start threads, with a runner of their own: `tests/visible` says why.
# Those without: the unit tests, `allocation_failure`, `allocation_storm`.
tsan() {
  local built log passed reports tests=()
  share_jemalloc
  # Few cases of proptest's, which is one thread as well; and optimised, or the step takes three times as long.
  export TSAN_OPTIONS="suppressions=$PWD/.ci/tsan.suppressions" PROPTEST_CASES=24 CARGO_PROFILE_DEV_OPT_LEVEL=1
  for name in it sections balance forgotten races; do tests+=(--test "$name"); done
  built=$(sanitized thread cargo test --locked -p notifier-index "${tests[@]}" --target $SANITIZED_TARGET --no-run 2>&1) ||
    { echo "$built"; return 1; }
  binary() { sed -n "s/.*tests\/$1\(\/main\)\?\.rs (\(.*\))/\2/p" <<<"$built"; }
  log=$(mktemp)
  for name in it sections balance forgotten; do "$(binary $name)" 2>&1 | tee -a "$log"; done
  RACES_ROUNDS=60 "$(binary races)" 2>&1 | tee -a "$log"
  passed=$(awk '/^test result: / {passed += $3} END {print passed + 0}' "$log")
  reports=$(grep -c 'WARNING: ThreadSanitizer' "$log" || true)
  [ "$reports" -eq 0 ] || { echo "$reports reports"; return 1; }
  [ "$passed" -gt 150 ] || { echo "only $passed tests ran"; return 1; }
  tsan_controls
  figure "$passed tests and $(sed -n 's/^races: \(.*\) passed/\1/p' "$log"), $(sed -n 's/^changes: //p' "$log") changes," \
    "0 reports; 3 planted races reported"
}

# Of these, the second is none that x86-64 could show by a wrong result.
tsan_controls() {
  export TSAN_OPTIONS="$TSAN_OPTIONS:halt_on_error=1"
  local report='WARNING: ThreadSanitizer: data race'
  BUSTED=early_free must_report "$report" "$(binary races)"
  BUSTED=relaxed_publish must_report "$report" "$(binary it)" history
  BUSTED=early_free must_report "$report" "$(binary sections)" torture
}

# Three at once on two processors: as much work as 30 seconds of each alone.
FUZZ_SECONDS=${FUZZ_SECONDS:-45}

# One target, and then its sabotage.
fuzz_one() {
  local out=$1 name=$2 sabotage=$3 found=$4 corpus
  corpus=$(mktemp -d)
  "$out/$name" -max_total_time="$FUZZ_SECONDS" -max_len=512 -print_final_stats=1 -artifact_prefix="$found/" \
    "$corpus" "fuzz/corpus/$name" || return 1
  BUSTED=$sabotage must_report 'ERROR: (libFuzzer|AddressSanitizer)' \
    "$out/$name" -max_total_time=40 -artifact_prefix="$found/" "fuzz/corpus/$name" || return 1
  rm -r "$corpus"
}

# Three fuzz targets under AddressSanitizer, each from its committed corpus, and each with a sabotage that it must find.
fuzz() {
  cargo_tool cargo-fuzz 0.13.2
  local flags="--cfg tiny_nodes --cfg busted --cfg asan_poison --cfg crossbeam_sanitize" out counts=()
  flags="$flags -Cunsafe-allow-abi-mismatch=sanitizer"
  RUSTC_BOOTSTRAP=1 RUSTFLAGS="$flags" CARGO_PROFILE_RELEASE_DEBUG=1 cargo fuzz build --target-dir target/fuzz
  out=target/fuzz/$SANITIZED_TARGET/release
  local found target name sabotage runs=()
  found=$(mktemp -d)
  for target in operations:stale_reader queries:stale_reader callbacks:no_raise; do
    # All at once: each fuzzes for its time, and keeps one processor busy at most.
    name=${target%:*} sabotage=${target#*:}
    fuzz_one "$out" "$name" "$sabotage" "$found" >"$found/$name.log" 2>&1 &
    runs+=($!)
  done
  for target in "${runs[@]}"; do
    wait "$target" || { tail -n 40 "$found"/*.log; return 1; }
  done
  for name in operations queries callbacks; do
    counts+=("$name $(sed -n 's/^stat::number_of_executed_units: *//p' "$found/$name.log" | head -n 1)")
  done
  figure "$(printf '%s runs, ' "${counts[@]}")0 findings; 3 sabotages found"
}

COVERED_LINES=95
# Here every line is run, or listed with its reason in `.ci/uncovered.txt`.
COVERED_WHOLLY='^src/(tree/|reclaim/|publish\.rs)'
# Model checkers' and sanitizers' code, sabotages, and what is compiled for tests alone.
NOT_COVERED='^src/(sync/|busted\.rs|reclaim/asan\.rs|tree/tests)'

# Lines of `src/` that the tests run.
coverage() {
  cargo_tool cargo-llvm-cov 0.9.1
  share_jemalloc
  local llvm lcov lines unlisted
  llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
  debian_package "llvm-$llvm"
  export LLVM_COV=/usr/lib/llvm-$llvm/bin/llvm-cov LLVM_PROFDATA=/usr/lib/llvm-$llvm/bin/llvm-profdata
  lcov=target/coverage.lcov
  CARGO_PROFILE_DEV_DEBUG=0 cargo llvm-cov --locked -p notifier-index --lib --test it --test sections \
    --test allocation_failure --test allocation_storm --test forgotten --test races --lcov --output-path $lcov
  lines=$(awk -F'[:,]' -v root="$PWD/" -v skip="$NOT_COVERED" '
    /^SF:/ {file = substr($0, 4); sub("^" root, "", file)}
    /^DA:/ && file ~ /^src\// && file !~ skip {print file, $2, ($3 > 0)}' $lcov | sort -u |
    awk '{key = $1 " " $2; if ($3) hit[key] = 1; seen[key] = 1}
         END {for (key in seen) print key, (key in hit) ? 1 : 0}' | sort -k1,1 -k2,2n)
  unlisted=$(uncovered_lines <<<"$lines" | grep -vxFf <(sed -n 's/^\(src.*\) | .*/\1/p' .ci/uncovered.txt) || true)
  local total hit listed
  total=$(wc -l <<<"$lines") hit=$(awk '$3' <<<"$lines" | wc -l) listed=$(grep -c '^src' .ci/uncovered.txt || true)
  figure "$hit of $total lines ($((hit * 1000 / total / 10)).$((hit * 1000 / total % 10)) %)," \
    "$listed of tree, reclaim and publish listed as not run"
  [ -z "$unlisted" ] || { printf 'not run, and not listed:\n%s\n' "$unlisted"; return 1; }
  [ $((hit * 100)) -ge $((total * COVERED_LINES)) ]
}

# `file | text` of the lines that are not run and must be; closing braces are their blocks'.
uncovered_lines() {
  local file line hit
  while read -r file line hit; do
    if [ "$hit" = 0 ] && [[ $file =~ $COVERED_WHOLLY ]]; then
      printf '%s | %s\n' "$file" "$(sed -n "${line}s/^ *//p" "$file")"
    fi
  done | grep -v '| }$'
}

# Licences, sources and bans of all that is built; the library on each of its features, and nothing newer than its MSRV.
deny() {
  cargo_tool cargo-deny 0.20.2
  cargo fetch --locked
  cargo deny --offline --log-level error check bans licenses sources
  figure "$(grep -c '^name = ' Cargo.lock) packages, bans, licences and sources allowed"
}

features() {
  cargo_tool cargo-hack 0.6.46
  # It is only checked here, not linked: any jemalloc will do.
  share_jemalloc
  cargo hack check --locked --workspace --lib --feature-powerset
  cargo test --locked -p notifier-index --features serde --lib interval
  # `clippy.toml` names the MSRV; this lint is an error where something newer is used.
  cargo clippy --locked -p notifier-index --lib -- -D clippy::incompatible_msrv
  figure "feature powersets of $(cargo hack check --locked --workspace --lib --feature-powerset --print-command-list |
    wc -l) commands; nothing newer than Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)"
}

semver() { skip "not published yet: there is no version to compare with"; }

MUTANT_MINUTES=4
# Of a hundred mutants that were judged, so many must be caught; asked only where enough were judged to tell it from chance.
MUTANT_FLOOR=60
MUTANTS_JUDGED=10

# Mutants of the lines of `src/` that changed since the branch left its upstream, or with the last commit.
mutants_changed() {
  cargo_tool cargo-mutants 27.1.0
  local base diff count out=target/mutants/mutants.out status=0
  base=$(git merge-base HEAD '@{upstream}' 2>/dev/null || true)
  if [ -z "$base" ] || [ "$base" = "$(git rev-parse HEAD)" ]; then
    base=$(git rev-parse --verify --quiet HEAD~1) || skip "there is no earlier commit"
  fi
  diff=$(mktemp)
  git diff "$base" -- src >"$diff"
  base=$(git rev-parse --short "$base")
  [ -s "$diff" ] || { figure "no line of src/ changed since $base"; return; }
  count=$(cargo mutants --list --in-diff "$diff" 2>/dev/null | wc -l)
  [ "$count" -gt 0 ] || { figure "nothing to mutate in the lines of src/ changed since $base"; return; }
  # It works on a copy, and shares what is already built of the dependencies.
  CARGO_TARGET_DIR=$PWD/target timeout $((MUTANT_MINUTES * 60)) \
    cargo mutants --in-diff "$diff" --shuffle --colors never -o target/mutants || status=$?
  # 2: some were missed; 3: some hung, which is to notice them; 124: the time was over.
  case $status in 0 | 2 | 3 | 124) ;; *) return "$status" ;; esac
  local caught hung missed
  caught=$(wc -l <$out/caught.txt) hung=$(wc -l <$out/timeout.txt) missed=$(wc -l <$out/missed.txt)
  cat $out/missed.txt
  figure "of $count mutants since $base, in at most $MUTANT_MINUTES minutes: $caught caught, $hung hung," \
    "$(wc -l <$out/unviable.txt) did not compile, $missed missed"
  local judged=$((caught + hung + missed))
  [ $judged -lt $MUTANTS_JUDGED ] || [ $(((caught + hung) * 100)) -ge $((judged * MUTANT_FLOOR)) ]
}
