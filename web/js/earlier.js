import { api } from '../../../scripts/api.js'
import { app } from '../../../scripts/app.js'

/** Whether the host sends nothing for this node when it has kept its result; hosts that do say so. */
function isLeftOut(node) {
  const about = node?.constructor.nodeData
  return about?.name?.startsWith('Reenact') && about.has_intermediate_output === undefined
}

async function showEarlier(id) {
  const answer = await api.fetchApi(`/reenact/shown/${encodeURIComponent(id)}`)
  const output = answer.ok ? await answer.json() : null
  if (output) api.dispatchEvent(new CustomEvent('executed', { detail: { node: id, display_node: id, output } }))
}

app.registerExtension({
  name: 'reenact.earlier',
  setup() {
    api.addEventListener('execution_cached', ({ detail }) => {
      for (const id of detail.nodes) {
        if (isLeftOut(app.graph.getNodeById(id)) && !app.nodeOutputs?.[id]) showEarlier(id)
      }
    })
  },
})
