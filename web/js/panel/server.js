import { api } from '../../../../scripts/api.js'

let choices

/** Strategies, overlays and colours as the server knows them; asked for once. */
export function loadChoices() {
  choices ??= api.fetchApi('/reenact/panel/choices').then((answer) => {
    if (!answer.ok) throw new Error(`The panel's choices could not be loaded (${answer.status}).`)
    return answer.json()
  })
  choices.catch(() => {
    choices = undefined
  })
  return choices
}

/** One frame: `{ picture: Blob, shares, ms }`; ms is what drawing it took, without any waiting. */
async function loadFrame(wish) {
  const answer = await api.fetchApi('/reenact/panel/frame', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(wish),
  })
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}))
    throw new Error(problem.error ?? `The server answered ${answer.status}.`)
  }
  return { picture: await answer.blob(), ...JSON.parse(answer.headers.get('X-Reenact-Frame')) }
}

/** Asks for frames one at a time; of the wishes that come meanwhile only the newest is kept. */
export class NewestFrame {
  #next = null
  #busy = false

  constructor(show, fail) {
    this.show = show
    this.fail = fail
  }

  async ask(wish) {
    this.#next = wish
    if (this.#busy) return
    this.#busy = true
    while (this.#next) {
      const current = this.#next
      this.#next = null
      try {
        this.show(await loadFrame(current))
      } catch (error) {
        if (!this.#next) this.fail(error.message)
      }
    }
    this.#busy = false
  }
}
