/** The access log in the metrics: lines that were written down, lines that were lost, and why. */
import type { WorkerReport } from '../ipc.ts'
import type { MetricReader } from './metric-tables.ts'

export class AccessLogMetrics {
  #lines = 0
  #dropped = 0
  #errors = 0
  #rotations = 0
  #rotationErrors = 0

  record({ accessLog }: WorkerReport): void {
    this.#lines += accessLog.lines
    this.#dropped += accessLog.dropped
    this.#errors += accessLog.errors
  }

  rotated(): void {
    this.#rotations++
  }

  /** A file could not be moved away. */
  rotationFailed(): void {
    this.#rotationErrors++
  }

  readers(): MetricReader[] {
    return [
      counter('amt_access_log_lines_total', 'Lines that the access log took.', () => this.#lines),
      counter(
        'amt_access_log_dropped_total',
        'Lines that are missing from the access log, because it is not written as fast as they come.',
        () => this.#dropped,
      ),
      counter(
        'amt_access_log_errors_total',
        'Failures to open, write or rotate the access log.',
        () => this.#errors + this.#rotationErrors,
      ),
      counter(
        'amt_access_log_rotations_total',
        'Files of the access log that were moved away for their size.',
        () => this.#rotations,
      ),
    ]
  }
}

function counter(name: string, help: string, value: () => number): MetricReader {
  return { name, help, type: 'counter', read: () => [{ labels: {}, value: value() }] }
}
