package attpc.screens;

import java.io.File;
import java.io.FileInputStream;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import org.phoebus.applications.alarm.client.AlarmClientLeaf;
import org.phoebus.applications.alarm.client.AlarmClientNode;
import org.phoebus.applications.alarm.model.AlarmTreeItem;
import org.phoebus.applications.alarm.model.TitleDetail;
import org.phoebus.applications.alarm.model.xml.XmlModelReader;

/** The alarm tree, as the alarm server imports it: path, description, whether it latches, and guidance of each PV. */
final class AlarmTree implements FileReader {
    @Override
    public List<String> read(final File file) throws Exception {
        final XmlModelReader reader = new XmlModelReader();
        try (InputStream stream = new FileInputStream(file)) {
            reader.load(stream);
        }
        final List<String> found = new ArrayList<>();
        list(reader.getRoot(), found);
        return found;
    }

    private static void list(final AlarmClientNode node, final List<String> found) {
        for (final AlarmTreeItem<?> item : node.getChildren()) {
            if (item instanceof AlarmClientNode inner) {
                list(inner, found);
            } else if (item instanceof AlarmClientLeaf leaf) {
                final List<String> guidance = leaf.getGuidance().stream().map(TitleDetail.class::cast)
                        .map(advice -> advice.detail).toList();
                found.add(String.join("\t", leaf.getPathName(), leaf.getName(), leaf.getDescription(),
                        String.valueOf(leaf.isEnabled() && leaf.isLatching()), String.join(" ", guidance)));
            }
        }
    }
}
