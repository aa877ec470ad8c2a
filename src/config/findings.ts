/** What one time of reading a configuration finds. */
import { type Verdicts, verdictsOf } from './draft.ts'
import { formatProblem, type Problem, ProblemList } from './problem.ts'
import { FileFaults } from './rules-files.ts'
import { IssueReporter } from './schema-messages.ts'

export class Findings {
  /** What cannot be read, and what has not the form that it must have. */
  readonly problems: ProblemList = new ProblemList()
  readonly reporter: IssueReporter = new IssueReporter(this.problems)
  readonly #ofRules = new ProblemList()
  readonly #warnings = new ProblemList()
  /** Of the rules, which are told behind the form of everything. */
  readonly verdicts: Verdicts = verdictsOf(this.#ofRules, this.#warnings)
  readonly files: FileFaults = new FileFaults()

  get empty(): boolean {
    return this.problems.empty && this.#ofRules.empty
  }

  list(): Problem[] {
    const all = new ProblemList()
    all.addAll(this.problems)
    all.addAll(this.#ofRules)
    return all.list()
  }

  /** In the form of `formatProblem`. */
  warnings(): string[] {
    return this.#warnings.list().map(formatProblem)
  }
}
