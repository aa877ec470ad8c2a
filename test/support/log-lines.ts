/** Log lines as a test sees them: parsed, and awaited instead of slept for. */
import { createLogger, type Logger } from '../../src/runtime/logger.ts'

export interface LogLine {
  readonly level: string
  readonly msg: string
  readonly [field: string]: unknown
}

export class LogLines {
  readonly logger: Logger
  readonly lines: LogLine[] = []
  readonly #waiting = new Set<(line: LogLine) => void>()

  constructor(name = 'proxy') {
    this.logger = createLogger({ level: 'debug', name }, { write: text => this.#write(text) })
  }

  all(msg: string): LogLine[] {
    return this.lines.filter(line => line.msg === msg)
  }

  /** The first line with this message, whether it came already or comes yet. */
  async first(msg: string): Promise<LogLine> {
    return this.all(msg)[0] ?? (await this.next(msg))
  }

  /** The next line with this message from now on. */
  async next(msg: string): Promise<LogLine> {
    return new Promise(resolve => {
      const look = (line: LogLine): void => {
        if (line.msg !== msg) return
        this.#waiting.delete(look)
        resolve(line)
      }
      this.#waiting.add(look)
    })
  }

  #write(text: string): void {
    const line = JSON.parse(text) as LogLine
    this.lines.push(line)
    for (const look of this.#waiting) look(line)
  }
}
