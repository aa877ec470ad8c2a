/** A client of another tenant than the one under attack: it calls all the time, over HTTP/1.1, and notes how it is served. */
import { Agent, get } from 'node:http'

/** Between two calls: enough of them to meet every stall, too few to be a load. */
const PAUSE_MS = 10

export class Bystander {
  calls = 0
  /** The longest that a call took. */
  worstMs = 0
  /** Answers that were not its own deployment's. */
  readonly failures: string[] = []
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  readonly #done: Promise<void>
  #ending = false

  /** Calls `host` until it is told to end; each answer has to be `body`. */
  constructor(port: number, host: string, body: string) {
    this.#done = this.#run(port, host, body)
  }

  async end(): Promise<void> {
    this.#ending = true
    await this.#done
    this.#agent.destroy()
  }

  async #run(port: number, host: string, body: string): Promise<void> {
    while (!this.#ending) {
      const begun = performance.now()
      const answer = await this.#call(port, host)
      this.worstMs = Math.max(this.worstMs, performance.now() - begun)
      this.calls += 1
      if (answer !== `200 ${body}`) this.failures.push(answer)
      await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
    }
  }

  #call(port: number, host: string): Promise<string> {
    return new Promise(resolve => {
      const request = get(
        { port, host: '127.0.0.1', headers: { host }, agent: this.#agent },
        response => {
          let body = ''
          response.setEncoding('latin1')
          response.on('data', (chunk: string) => {
            body += chunk
          })
          response.on('end', () => resolve(`${response.statusCode} ${body}`))
          response.on('error', error => resolve(error.message))
        },
      )
      request.on('error', error => resolve(error.message))
    })
  }
}
